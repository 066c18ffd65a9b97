"""The demo's story over several seeds: what reinforcement adds, against its controls.

    python experiments/demo/run.py [--seeds 0 1 2] [--work runs/experiments/demo]

Reinforcement takes 120 steps, twice as many as in the demo, which has to end within ten
minutes. Every seed has its own world, model, order of data and sampling noise; nothing is
shared. An interrupted run goes on where it stopped. Writes ``results.json`` beside this file:
held-out accuracies in [0, 1]; ``cold_start`` and ``rl`` greedy, ``*_sampled``, ``controls`` and
``forced_think`` one answer each at temperature 1 (their greedy figures under ``greedy``);
``gap`` is ordered minus shuffled, greedy; lengths are mean tokens of greedy answers, ``terse``
shares of sampled answers; ``p`` is McNemar's on the sampled answers of rl and cold_start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from kinograd.config.load import load_recipe, packaged_recipe
from kinograd.synthetic.demo.run import check_stages, run_demo

HERE = Path(__file__).parent


def row(seed: int, summary: dict[str, Any]) -> dict[str, Any]:
    """One seed's entry of ``results.json``."""
    start, rl = summary["stages"]["cold_start"], summary["stages"]["reinforced"]
    controls = summary["controls"]
    trained = {name: one for name, one in controls.items() if name != "forced_think"}

    def greedy(one: dict[str, Any], view: str = "ordered") -> float:
        return round(one["greedy"][view]["accuracy"], 4)

    def sampled(one: dict[str, Any]) -> float:
        return round(one["sampled"]["ordered"]["accuracy"], 4)

    def length(one: dict[str, Any]) -> float:
        return round(one["greedy"]["ordered"]["length"]["mean"], 2)

    def gap(one: dict[str, Any]) -> float:
        return round(greedy(one) - greedy(one, "shuffled"), 4)

    pairs = {
        name: {k: pair["sampled"][k] for k in ("difference", "low", "high", "p")}
        for name, pair in summary["paired"].items()
    }
    return {
        "seed": seed,
        "n": start["greedy"]["ordered"]["n"],
        "majority": round(start["greedy"]["ordered"]["majority"], 4),
        "cold_start": greedy(start),
        "rl": greedy(rl),
        "cold_start_sampled": sampled(start),
        "rl_sampled": sampled(rl),
        "forced_think": sampled(controls["forced_think"]),
        "controls": {name: sampled(one) for name, one in trained.items()},
        "greedy": {name: greedy(one) for name, one in {**summary["stages"], **controls}.items()},
        "length_cold_start": length(start),
        "length_rl": length(rl),
        "terse_cold_start": start["sampled"]["ordered"]["terse"],
        "terse_rl": rl["sampled"]["ordered"]["terse"],
        "gap_cold_start": gap(start),
        "gap_rl": gap(rl),
        "p": pairs["reinforced minus cold_start"]["p"],
        "paired_sampled": pairs,
        "families": {
            name: one["greedy"]["ordered"]["families"] for name, one in summary["stages"].items()
        },
        "train_cpu_s": {
            name: round(one["train_cpu_s"], 1)
            for name, one in {**summary["stages"], **controls}.items()
        },
        "seconds": round(summary["seconds"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/experiments/demo"))
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_args()
    rows = []
    for seed in given.seeds:
        folder = given.work / f"seed-{seed}"
        fixed = [f"dir={folder}", *(f"{k}={seed}" for k in SEEDS)]
        recipe = load_recipe(
            [packaged_recipe("demo/demo.yaml")], [STEPS, *given.overrides, *fixed], method="demo"
        )
        check_stages(recipe)
        if not (folder / "summary.json").is_file():
            run_demo(recipe)
        rows.append(row(seed, json.loads((folder / "summary.json").read_text(encoding="utf-8"))))
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} threads, torch {torch.__version__}",
            "overrides": given.overrides,
            "seeds": rows,
        }
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


SEEDS = ("synthetic.seed", "tiny.seed", "base.run.seed")
STEPS = "stages.reinforced.rl.steps=120"

if __name__ == "__main__":
    main()
