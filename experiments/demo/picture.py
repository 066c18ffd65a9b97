"""Draw ``results.json`` as ``docs/img/demo.svg``: accuracy by stage and control, a dot a seed.

python experiments/demo/picture.py [--check]     # exit status 1 if the picture would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "img" / "demo.svg"
ROWS = [
    # (label, how it is read from a seed's entry, colour)
    ("cold start", lambda s: s["cold_start_sampled"], "#6b7280"),
    ("+ answers only, supervised", lambda s: s["controls"]["answer_sft"], "#9a6700"),
    ("+ same rows, supervised", lambda s: s["controls"]["more_sft"], "#9a6700"),
    ("forced to think", lambda s: s["forced_think"], "#9a6700"),
    ("+ its own right answers (RFT)", lambda s: s["controls"]["rft"], "#9a6700"),
    ("+ reinforcement (GRPO)", lambda s: s["rl_sampled"], "#0f766e"),
]
WIDTH, LEFT, RIGHT, TOP, STEP = 720, 220, 70, 76, 34


def draw(results: dict[str, Any]) -> str:
    """The picture as SVG text."""
    seeds = results["seeds"]
    bottom = TOP + STEP * len(ROWS)

    def x(share: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 44}" '
        f'viewBox="0 0 {WIDTH} {bottom + 44}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{bottom + 44}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="600" fill="#111827">'
        "Held-out accuracy, one sampled answer to each question</text>",
        f'<text x="16" y="43" fill="#4b5563">{len(seeds)} seeds; '
        "each from the same start, in about the same computing time</text>",
    ]
    for tick in range(0, 101, 20):
        at = x(tick / 100)
        out.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 12}" y2="{bottom}" stroke="#e5e7eb"/>'
            f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#4b5563">{tick} %'
            "</text>"
        )
    majority = sum(s["majority"] for s in seeds) / len(seeds)
    out.append(
        f'<line x1="{x(majority):.1f}" x2="{x(majority):.1f}" y1="{TOP - 12}" y2="{bottom}" '
        f'stroke="#9ca3af" stroke-dasharray="4 3"/><text x="{x(majority):.1f}" y="{bottom + 36}" '
        'text-anchor="middle" fill="#6b7280">commonest answer</text>'
    )
    for number, (label, read, colour) in enumerate(ROWS):
        y = TOP + STEP * number + STEP // 2
        values = [read(seed) for seed in seeds]
        mean = sum(values) / len(values)
        out.append(
            f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end" fill="#111827">{label}</text>'
            f'<line x1="{x(min(values)):.1f}" x2="{x(max(values)):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-width="2" opacity="0.5"/>'
        )
        out += [
            f'<circle cx="{x(v):.1f}" cy="{y}" r="5" fill="{colour}" fill-opacity="0.75"/>'
            for v in values
        ]
        out.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4}" fill="{colour}" font-weight="600">'
            f"{100 * mean:.1f}</text>"
        )
    return "\n".join([*out, "</svg>", ""])


def main() -> int:
    text = draw(json.loads((HERE / "results.json").read_text(encoding="utf-8")))
    if "--check" in sys.argv:
        return int(not OUT.is_file() or OUT.read_text(encoding="utf-8") != text)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
