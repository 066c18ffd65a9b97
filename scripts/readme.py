"""Write the figures of README.md from the committed results, so that they cannot drift.

make demo && cp runs/demo/summary.json benchmarks/results/demo.json     # newer figures of the demo
python scripts/readme.py            # rewrites README.md
python scripts/readme.py --check    # exit status 1 if it would change
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def percent(cell: dict[str, Any]) -> str:
    return f"{100 * cell['accuracy']:.1f} ± {50 * (cell['high'] - cell['low']):.1f}"


def demo() -> str:
    """Write the demo's table on held-out clips, and the findings over three seeds."""
    summary = read("demo")
    start = summary["environment"]
    both = summary["stages"] | summary["controls"]
    first = next(iter(both.values()))["greedy"]["ordered"]
    views = list(next(iter(both.values()))["greedy"])
    head = ["", "sampled", *views, "tokens", "terse", "train s"]
    rows = [["always the commonest answer", "", f"{100 * first['majority']:.1f}", *[""] * 5]]
    for name, stage in both.items():
        greedy, sampled = stage["greedy"], stage["sampled"]["ordered"]
        cells = [percent(sampled), *(percent(greedy[v]) for v in views)]
        tokens, terse = greedy["ordered"]["length"]["mean"], sampled["terse"]
        label = f"*{name}*" if name in summary["controls"] else f"**{name}**"
        rows.append([label, *cells, f"{tokens:.0f}", f"{100 * terse:.0f} %"])
        rows[-1].append(f"{stage['train_s']:.0f}")
    table = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(
        [
            f"What `make demo` found on {start['cpu']['model']}, {start['cpu']['cores']} cores "
            f"({start['time'][:10]}; {summary['seconds'] / 60:.1f} minutes in all). Accuracy in "
            f"% on {first['n']} held-out questions, ± half of the 95 % interval; views and tokens "
            "are of greedy answers, *sampled* is one answer each at temperature 1, *terse* the "
            "share of answers without a derivation. Stages in bold, controls in italics: the same "
            "start, about as much computing time (of *rft*, the time of sampling is not shown).",
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            seeds(),
        ]
    )


def headline() -> str:
    """State the demo's result in one sentence."""
    summary = read("demo")
    sampled = {
        name: f"{100 * one['sampled']['ordered']['accuracy']:.1f} %"
        for name, one in (summary["stages"] | summary["controls"]).items()
    }
    return (
        f"On two CPU cores, without a download, `make demo` takes a tiny model from "
        f"{sampled['cold_start']} to {sampled['reinforced']} of held-out questions about the "
        "order of events, by reinforcement from answers alone; as much time of further "
        f"supervised training ends at {sampled['more_sft']}."
    )


def seeds() -> str:
    """Summarise the demo's experiment over its seeds, one sentence per finding."""
    path = ROOT / "experiments" / "demo" / "results.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["seeds"]

    def span(values: list[float], unit: str = "") -> str:
        low, high = min(values), max(values)
        return f"{100 * low:.1f}–{100 * high:.1f}{unit}"

    def each(name: str) -> list[float]:
        return [r[name] for r in rows]

    rl, rft = each("rl_sampled"), [r["controls"]["rft"] for r in rows]
    forced = each("forced_think")
    start = each("cold_start_sampled")

    def above(others: list[float], unit: str = "") -> str:
        return span([a - b for a, b in zip(rl, others, strict=True)], unit)

    chosen = [(f - s) / (r - s) for f, s, r in zip(forced, start, rl, strict=True)]

    def greedy(name: str) -> str:
        values = [100 * (r["rl"] - r["greedy"][name]) for r in rows]
        return f"{min(values):+.1f} to {max(values):+.1f}"

    lines = [
        f"Over {len(rows)} seeds that share nothing (`experiments/demo`), in twice as many steps: "
        f"reinforcement takes sampled accuracy from {span(start)} % to {span(rl)} % "
        f"({above(start, ' points')}, every p < {_below(max(each('p')))}), the gap "
        f"between ordered and shuffled clips from "
        f"{span(each('gap_cold_start'))} to {span(each('gap_rl'))} points, and answers from "
        f"{min(each('length_cold_start')):.0f} to {max(each('length_rl')):.0f} tokens.",
        "",
        f"{span(chosen)} % of that gain is choosing to think: the start, *forced* to think (its "
        f"terse phrase is forbidden), gets {span(forced)} %. Imitating its own "
        f"right answers in about the same time gets {span(rft)} %. Reinforcement ends "
        f"{above(forced, ' points')} above the one and {above(rft)} above the other; answered "
        f"greedily, {greedy('forced_think')} and {greedy('rft')}: close to a tie.",
    ]
    return "\n".join(lines)


def _below(p: float) -> str:
    return next(f"1e-{n}" for n in range(12, -1, -1) if p < 10.0**-n)


def bench() -> str:
    """Ratios against peers and naive baselines, each from one run of one script."""
    step, video = read("rl_step"), read("video_pipeline")
    r, v = step["ratios"], video["ratios"]
    lines = [
        f"Measured on {step['machine']} ({step['date']}), a 31M-parameter Qwen2.5-VL, 1,024 video "
        "tokens, 8 rollouts of 192 tokens (`benchmarks/rl_step.py`):",
        "",
        f"- policy and reference step: {r['policy_ref_speedup']:.1f}x faster than replicated rows, "
        f"with {100 * r['memory_fraction']:.0f} % of their memory; gradients equal to "
        f"{r['grad_rel_fp32']:.0e}",
        f"- rollouts: {r['rollout_speedup']:.1f}x faster than transformers' `generate`",
        f"- whole step from a cached clip: {r['step_speedup_vs_video_r1']:.1f}x faster than "
        "Video-R1's way"
        + (
            f", {r['step_speedup_vs_trl']:.1f}x faster than TRL's GRPOTrainer on as many image "
            "tokens"
            if r["step_speedup_vs_trl"]
            else ""
        ),
        f"- policy memory at 16 rollouts over that at 4: {r['memory_g16_over_g4']:.2f}",
        "",
        "Clips (`benchmarks/video_pipeline.py`): 16 frames of a 5-minute clip come "
        f"{v['long_speedup_vs_sequential']:.0f}x faster than by decoding all of it"
        + (
            f" and {v['long_speedup_vs_qwen_vl_utils']:.1f}x faster than qwen-vl-utils give them"
            if v.get("long_speedup_vs_qwen_vl_utils")
            else ""
        )
        + f"; a cached clip is {v['cached_speedup']:.0f}x faster than a cold one.",
    ]
    return "\n".join(lines)


def main() -> int:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, section in (("headline", headline), ("demo", demo), ("bench", bench)):
        pattern = rf"(<!-- {name}:[^>]*-->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, s=section: m[1] + s() + "\n" + m[2], text, flags=re.DOTALL)
    if "--check" in sys.argv:
        return int(text != path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
