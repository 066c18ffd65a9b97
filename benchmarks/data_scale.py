"""Rows per second and memory of ``data import``, ``validate``, ``stats`` and ``mix``.

    python benchmarks/data_scale.py [--rows 100000] [--out benchmarks/results/data_scale.json]

Synthetic rows in the format of Video-R1 (one JSON list; five kinds of answers, no clips) go
through the verbs one after another, each in a process of its own. Memory is the growth of the
process's peak from a file of 1,000 rows to the whole: what rows cost, not what Python does.
The baseline is what scripts around such files do: ``json.load``, a list of new rows, one dump.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SMALL = 1_000
KINDS = ("multiple choice", "numerical", "free-form", "OCR", "regression")
COLOURS = ("red", "blue", "green", "yellow")
NAIVE = """
import json, sys
from collections import Counter
rows = json.load(open(sys.argv[1], encoding="utf-8"))
new = [{"id": str(row["problem_id"]), "kind": row["problem_type"], "question": row["problem"],
        "options": row["options"], "answer": row["solution"][8:-9],
        "media": [{"type": row["data_type"], "path": row["path"][2:]}],
        "source": row["data_source"]} for row in rows]
print(Counter(row["kind"] for row in new))
json.dump(new, open(sys.argv[2], "w", encoding="utf-8"))
"""


def record(i: int) -> dict[str, Any]:
    """The ``i``-th row: about 450 bytes, its question and answer its own."""
    kind = KINDS[i % len(KINDS)]
    colour = COLOURS[i // 5 % 4]
    answer = {
        "multiple choice": "ABCD"[i // 5 % 4],
        "numerical": str(i % 97),
        "free-form": f"The {colour} box rolls past shelf {i} and stops at the door.",
        "OCR": f"platform {i} {colour} line",
        "regression": f"{i % 113}.5",
    }[kind]
    options = [f"{letter}. {name} box {i}" for letter, name in zip("ABCD", COLOURS, strict=True)]
    return {
        "problem_id": i,
        "problem": f"After the man lifts crate {i}, what is seen at the end of the corridor?",
        "data_type": "video",
        "problem_type": kind,
        "options": options if kind == "multiple choice" else [],
        "solution": f"<answer>{answer}</answer>",
        "path": f"./LLaVA-Video-178K/academic_source/clip_{i // 3:06d}.mp4",
        "data_source": f"LLaVA-Video-178K/part_{i % 7}",
    }


def write(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for i in range(rows):
            stream.write(("[" if i == 0 else ",\n") + json.dumps(record(i)))
        stream.write("]\n")


def measure(arguments: list[str], log: Path) -> tuple[float, float]:
    """(wall seconds, peak resident MB) of ``python ARGUMENTS``; its output goes to ``log``."""
    start = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, *arguments], stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{log.read_text()[-3000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and arguments of what is measured; each finds what the ones before left."""
    verb = ["-m", "kinograd", "data"]
    foreign, rows = str(folder / "foreign.json"), str(folder / "rows.jsonl")
    yield "baseline: json.load, list, dump", ["-c", NAIVE, foreign, str(folder / "naive.json")]
    yield "import", [*verb, "import", foreign, rows, "--format", "video_r1"]
    yield "validate", [*verb, "validate", rows, "--out", str(folder / "validated")]
    yield "stats", [*verb, "stats", rows, "--html", str(folder / "stats.html")]
    yield "mix", [*verb, "mix", str(folder / "mixed.jsonl"), rows]


def run(rows: int) -> dict[str, tuple[float, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "foreign.json", rows)
        return {
            what: measure(arguments, folder / "log.txt") for what, arguments in commands(folder)
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    default = Path(__file__).parent / "results/data_scale.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    small, whole = run(SMALL), run(args.rows)
    result = {
        what: {
            "rows_per_s": round(args.rows / seconds),
            "rows_per_s_after_start": round(
                (args.rows - SMALL) / max(1e-3, seconds - small[what][0])
            ),
            "peak_mb": round(peak, 1),
            "growth_mb": round(peak - small[what][1], 1),
        }
        for what, (seconds, peak) in whole.items()
    }
    for what, found in result.items():
        print(f"{what:34}{found['rows_per_s']:8} rows/s{found['growth_mb']:9} MB growth")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "load_before": round(load, 1),
        "command": f"python benchmarks/data_scale.py --rows {args.rows}",
        "rows": args.rows,
        "small": SMALL,
        "verbs": result,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
