"""Feed damaged input to every reader and count how each attempt ends.

    python benchmarks/fuzz.py [--media 2000] [--text 20000] [--seed 0] [--out FILE]

Targets: ``media`` (mutated videos and images of several codecs and containers), ``answers``,
``rows``, ``recipes`` and ``replies`` (of judges). Each target runs in child processes, so that a
crash or a hang is counted and the next attempt goes on. An attempt ends as one of:

``right``         a result that agrees with the reference (a plain decode, the known value)
``named_error``   a failure that names its reason
``silent_wrong``  a result that differs from the reference, without a word
``hang``          no result within ``LIMIT_S`` seconds
``traceback``     an exception that no caller expects, or a dead process
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
LIMIT_S = 60.0
ENDS = ("named_error", "right", "silent_wrong", "hang", "traceback")
SHARES = {"answers": 0.6, "rows": 0.2, "recipes": 0.1, "replies": 0.1}


def _lines(stream: IO[str], into: queue.Queue[str | None]) -> None:
    for line in stream:
        into.put(line)
    into.put(None)


def run_target(target: str, tries: int, seed: int) -> tuple[Counter[str], list[dict[str, str]]]:
    """Run ``tries`` attempts in child processes; return counts and the attempts that went wrong."""
    script = HERE / ("fuzz_media.py" if target == "media" else "fuzz_text.py")
    counts: Counter[str] = Counter()
    wrong: list[dict[str, str]] = []
    done = 0
    while done < tries:
        command = [sys.executable, str(script), target, str(seed), str(done), str(tries)]
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed below
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        lines: queue.Queue[str | None] = queue.Queue()
        assert child.stdout
        threading.Thread(target=_lines, args=(child.stdout, lines), daemon=True).start()
        while done < tries:
            try:
                line = lines.get(timeout=LIMIT_S)
            except queue.Empty:
                end, what = "hang", f"no result within {LIMIT_S:g} s"
                line = None
            else:
                end, what = "traceback", ""
            if line is None:
                break
            record = json.loads(line)
            counts[record["end"]] += 1
            done += 1
            if record["end"] in ("silent_wrong", "hang", "traceback"):
                wrong.append({name: str(value) for name, value in record.items()})
        child.kill()
        child.wait()
        if done < tries:  # the child hung or died in this attempt
            errors.seek(0)
            counts[end] += 1
            wrong.append({"try": str(done), "end": end, "what": what or errors.read()[-500:]})
            done += 1
        errors.close()
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--media", type=int, default=2000, help="mutated media files")
    parser.add_argument("--text", type=int, default=20_000, help="answers, rows, recipes, replies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["media", *SHARES], help="one target alone")
    parser.add_argument("--out", type=Path, default=HERE / "results/fuzz.json")
    given = parser.parse_args()
    tries = {"media": given.media, **{t: int(given.text * s) for t, s in SHARES.items()}}
    report: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seed": given.seed,
    }
    failed = 0
    for target, n in tries.items():
        if given.only not in (None, target):
            continue
        counts, wrong = run_target(target, n, given.seed)
        report[target] = {"tries": n} | {end: counts[end] for end in ENDS}
        print(f"{target:8}", report[target], flush=True)
        for row in wrong[:20]:
            print("   ", json.dumps(row, ensure_ascii=True)[:600], flush=True)
        failed += len(wrong)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
