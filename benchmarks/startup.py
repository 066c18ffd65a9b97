"""How long it takes to start: ``import kinograd``, ``kinograd --help``, reading a recipe.

    python benchmarks/startup.py [--out benchmarks/results/startup.json]

Best of several runs in fresh processes, against the budgets of the design: the first two may
take 0.3 and 0.5 s. Exit status 1 when a budget is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
CASES = {
    # name: (arguments of the interpreter, budget in seconds or None)
    "bare interpreter": (["-c", ""], None),
    "import kinograd": (["-c", "import kinograd"], 0.3),
    "kinograd --help": (["-m", "kinograd", "--help"], 0.5),
    "import kinograd.config.load": (["-c", "import kinograd.config.load"], None),
}


def best(arguments: list[str]) -> float:
    """Shortest wall time in seconds of ``python ARGUMENTS``."""
    times: list[float] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/startup.json")
    out: Path = parser.parse_args().out
    seconds = {name: round(best(arguments), 3) for name, (arguments, _) in CASES.items()}
    for name, (_, budget) in CASES.items():
        print(f"{name:30}{seconds[name]:6.3f} s" + (f"   at most {budget} s" if budget else ""))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({"machine": machine, "runs": RUNS, "seconds": seconds}, indent=1) + "\n"
    )
    return int(any(budget and seconds[name] > budget for name, (_, budget) in CASES.items()))


if __name__ == "__main__":
    sys.exit(main())
