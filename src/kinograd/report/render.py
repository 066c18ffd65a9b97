"""Renderer of the HTML page: figures drawn here, rollouts browsed by a small script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kinograd import files
from kinograd.report.charts import HEIGHT, WIDTH, make_charts, number
from kinograd.report.evaluations import make_suites
from kinograd.report.load import Run, load_runs, load_summaries
from kinograd.report.notices import make_notices
from kinograd.report.rollouts import Budget, embed

_TEMPLATES = Path(__file__).parent / "templates"
# What ends a script element, opens a comment or breaks a line in JavaScript.
_ISLAND = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def write_report(run_folders: Sequence[Path], out: Path) -> None:
    """Write the report of run folders (or folders of them) to one HTML file, atomically.

    Raises:
        DataError: a folder holds no run, or a file in it is damaged.
    """
    html = render_report(run_folders)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.atomic_text(out, html)


def render_report(run_folders: Sequence[Path], budget: Budget | None = None) -> str:
    """Render the page as text; the same folders give the same text."""
    return render_page(make_page(run_folders, budget))


def make_page(run_folders: Sequence[Path], budget: Budget | None = None) -> dict[str, Any]:
    """Collect the content of the page, by name in the template.

    Raises:
        DataError: a folder holds no run, or a file in it is damaged.
    """
    runs = load_runs(run_folders)
    suites = make_suites(runs)
    rollouts = embed(runs, budget or Budget())
    charts = [(run.name, make_charts(run.metrics)) for run in runs]
    return {
        "title": _title(run_folders),
        "runs": runs,
        "cards": [run for run in runs if run.metrics] or runs,
        "facts": {run.name: _facts(run) for run in runs},
        "notices": make_notices(runs, suites, rollouts),
        "suites": suites,
        "charts": [(name, drawn) for name, drawn in charts if drawn],
        "summaries": {k: _flat(v) for k, v in load_summaries(run_folders).items()},
        "rollouts": rollouts,
    }


def render_page(page: dict[str, Any]) -> str:
    """Render collected content as one HTML file that needs nothing else."""
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    island = {
        "charts": [chart.data for _, drawn in page["charts"] for chart in drawn],
        "runs": page["rollouts"].runs,
        "strips": page["rollouts"].strips,
    }
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            page,
            chart_size=(WIDTH, HEIGHT),
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            island=Markup(json.dumps(island, ensure_ascii=False).translate(_ISLAND)),
        )
    )


def _title(folders: Sequence[Path]) -> str:
    """Join the names of the folders; of more than two with one parent, name the parent."""
    paths = [folder.resolve() for folder in folders]
    if len(paths) > 2 and len({path.parent for path in paths}) == 1:
        return paths[0].parent.name
    return " · ".join(path.name for path in paths)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "p": _p, "json": _json}
    environment.globals |= {"bar": _bar}
    return environment


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _facts(run: Run) -> list[tuple[str, str]]:
    """List method, model, device, duration and the like of a run, as far as known."""
    recipe, start = run.recipe, (run.starts[-1] if run.starts else {})
    packages, cpu = start.get("packages", {}), start.get("cpu", {})
    devices = ", ".join(start.get("devices", []))
    processor = (
        f"{cpu.get('model')}, {cpu.get('threads')} of {cpu.get('cores')} cores" if cpu else ""
    )
    versions = ", ".join(
        f"{n} {packages[n]}" for n in ("kinograd", "torch", "transformers") if n in packages
    )
    commit = (start.get("git") or {}).get("commit", "")
    times = [record["time"] for record in run.metrics if "time" in record]
    took = str(timedelta(seconds=round(times[-1] - times[0]))) if len(times) > 1 else ""
    facts = [
        ("method", run.method),
        ("algorithm", str((recipe.get("algo") or {}).get("type", ""))),
        ("model", str((recipe.get("model") or {}).get("path", ""))),
        ("steps", str(max((r["step"] for r in run.metrics), default=""))),
        ("first to last step", took),
        ("started", str(run.starts[0].get("time", "")) if run.starts else ""),
        ("device", devices or processor),
        ("versions", versions),
        ("commit", commit[:12]),
    ]
    return [(label, value) for label, value in facts if value]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Flatten a summary into pairs of dotted name and text."""
    if isinstance(value, dict):
        return [row for k, v in value.items() for row in _flat(v, f"{name}.{k}" if name else k)]
    if isinstance(value, list):
        return [(name, ", ".join(str(v) for v in value))]
    return [(name, number(value) if isinstance(value, float) else str(value))]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _bar(share: float, width: int) -> float:
    """Compute the position of a share on an axis of ``width`` units, clipped to it."""
    return round(min(1.0, max(0.0, share)) * width, 1)
