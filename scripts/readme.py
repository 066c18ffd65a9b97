"""Write the figures of README.md from the committed results, so that they cannot drift.

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
    """The demo's table on held-out clips, and its paired difference."""
    summary = read("demo")
    start = summary["environment"]
    stages = summary["stages"]
    views = list(next(iter(stages.values()))["greedy"])
    first = next(iter(stages.values()))["greedy"]["ordered"]
    head = ["stage", "sampled", *views, "tokens", "train s"]
    rows = [["always the commonest answer", "", f"{100 * first['majority']:.1f}", "", "", "", ""]]
    for name, stage in stages.items():
        greedy = stage["greedy"]
        cells = [percent(stage["sampled"]["ordered"]), *(percent(greedy[v]) for v in views)]
        tokens = f"{greedy['ordered']['length']['mean']:.0f}"
        rows.append([name, *cells, tokens, f"{stage['train_s']:.0f}"])
    table = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    *_, (pair, difference) = summary["paired"].items()
    sampled = difference["sampled"]
    return "\n".join(
        [
            f"What `make demo` found on {start['cpu']['model']}, {start['cpu']['cores']} cores "
            f"({start['time'][:10]}; {summary['seconds'] / 60:.1f} minutes in all). Accuracy in "
            f"% on {first['n']} held-out questions, ± half of the 95 % interval; views are "
            "answered greedily, *sampled* is one answer each at temperature 1.",
            "",
            *lines,
            "",
            f"{pair}, sampled: {100 * sampled['difference']:+.1f} points "
            f"[{100 * sampled['low']:+.1f}, {100 * sampled['high']:+.1f}], paired.",
        ]
    )


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
    for name, section in (("demo", demo), ("bench", bench)):
        pattern = rf"(<!-- {name}:[^>]*-->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, s=section: m[1] + s() + "\n" + m[2], text, flags=re.DOTALL)
    if "--check" in sys.argv:
        return int(text != path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
