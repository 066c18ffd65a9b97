from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kinograd import files
from kinograd.cli import main
from kinograd.report import write_report
from kinograd.report.charts import Chart, make_charts, number
from kinograd.report.evaluations import Suite
from kinograd.report.load import load_runs
from kinograd.report.render import make_page, render_page, render_report
from kinograd.report.rollouts import Budget, embed
from kinograd.types import DataError

MakeDemo = Callable[[Path], Path]


def _island(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


def _text(html: str) -> str:
    """What a reader sees, in order, one space between words; scripts and styles left out."""
    body = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def _shown(page: dict[str, Any]) -> dict[str, Any]:
    """The content of a page as plain data: one line per series, view, family and pair."""

    def chart(drawn: Chart) -> dict[str, Any]:
        lines = {f"{one.name} {one.last}": f"{one.path} | {one.smooth}" for one in drawn.series}
        pointer = [" ".join(map(str, row)) for row in (drawn.data["step"], *drawn.data["y"])]
        axes = {"x": drawn.ticks_x, "y": drawn.ticks_y}
        ticks = {k: ", ".join(f"{at:g} {label}" for at, label in v) for k, v in axes.items()}
        ends = {"broken": str(drawn.broken), "note": drawn.note, "pointer": pointer}
        return {"title": drawn.title, "lines": lines, **ticks, **ends}

    def cell(figures: dict[str, Any]) -> str:
        return " ".join(f"{k} {figures[k]}" for k in ("n", "accuracy", "low", "high", "unscored"))

    def suite(one: Suite) -> dict[str, Any]:
        keys = ("difference", "low", "high", "p")
        return {
            "views": {e.label: each(e.figures["views"]) for e in one.evaluations},
            "families": {e.label: each(e.figures["by"]["family"]) for e in one.evaluations},
            "pairs": [f"{b} - {a}: {[pair[k] for k in keys]}" for a, b, pair in one.pairs],
            "refused": one.refused,
        }

    def each(cells: dict[str, dict[str, Any]]) -> dict[str, str]:
        return {name: cell(figures) for name, figures in cells.items()}

    return {
        "title": page["title"],
        "facts": {run.name: dict(page["facts"][run.name]) for run in page["cards"]},
        "notices": [f"{n.level}: {n.where}: {n.text}" for n in page["notices"]],
        "suites": {one.title: suite(one) for one in page["suites"]},
        "charts": {name: [chart(c) for c in drawn] for name, drawn in page["charts"]},
        "summaries": {name: dict(rows) for name, rows in page["summaries"].items()},
    }


def test_the_content_of_a_fixed_run_is_golden(
    make_demo: MakeDemo, tmp_path: Path, golden: Callable[..., None]
) -> None:
    """Pictures are left out, as JPEG encoders differ; and the texts of all but one group."""
    page = make_page([make_demo(tmp_path / "demo")])
    golden("report/demo.json", json.loads(json.dumps(_shown(page))))
    group = page["rollouts"].runs[0]["steps"][0]["groups"][0]
    for view in group["views"]:
        assert view.pop("strips")
    golden("report/group.json", group)


def test_the_page_shows_its_content(make_demo: MakeDemo, tmp_path: Path) -> None:
    """Every fact, notice, figure, tick and line of the golden content is in the markup."""
    page = make_page([make_demo(tmp_path / "demo")])
    html = unescape(render_page(page))
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    shown = [value for rows in page["facts"].values() for _, value in rows]
    shown += [notice.text for notice in page["notices"]]
    shown += [value for rows in page["summaries"].values() for row in rows for value in row]
    for suite in page["suites"]:
        shown += [f"{100 * e.figures['accuracy']:.1f}" for e in suite.evaluations]
        shown += [name for name, _ in suite.families]
    charts = [chart for _, drawn in page["charts"] for chart in drawn]
    shown += [label for chart in charts for _, label in (*chart.ticks_x, *chart.ticks_y)]
    assert [words for words in shown if " ".join(words.split()) not in text] == []
    assert [s.path for c in charts for s in c.series if s.path not in html] == []


def test_the_same_folders_give_the_same_bytes(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo")
    write_report([folder], tmp_path / "a.html")
    write_report([folder / "sft", folder / "rl"], tmp_path / "b.html")
    write_report([folder], tmp_path / "c.html")
    first = (tmp_path / "a.html").read_text()
    assert first == (tmp_path / "c.html").read_text()
    assert _island(first)["runs"] == _island((tmp_path / "b.html").read_text())["runs"]


def test_the_page_needs_nothing_from_outside(make_demo: MakeDemo, tmp_path: Path) -> None:
    html = render_report([make_demo(tmp_path / "demo")])
    outside = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import|https?:""", outside)
    assert "default-src 'none'" in html


def test_warnings_come_before_figures(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo")
    (folder / "rl" / "metrics.jsonl").write_text(
        "".join((folder / "rl" / "metrics.jsonl").read_text().splitlines(keepends=True)[:90])
    )
    starts = json.loads((folder / "rl" / "env.json").read_text())["starts"]
    later = starts[0] | {"packages": {"kinograd": "0.1.0", "torch": "2.14.0"}}
    (folder / "rl" / "env.json").write_text(json.dumps({"starts": [*starts, later]}))
    text = _text(render_report([folder]))
    for words in (
        "judge events is lexical",
        "optim/grad_norm was not finite at step 77",
        "1 example left out: decode 1",
        "unfinished: 90 of 120 steps",
        "resumed under other versions: torch 2.13.0 → 2.14.0, transformers 5.19.0 → absent",
        "logged rollouts are unscored: truncated",
        "answers are unscored: parse",
    ):
        assert words in text
        assert text.index(words) < text.index("95 % interval")


def test_a_figure_not_above_the_majority_says_so(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo")
    path = folder / "sft" / "eval" / "step-40.jsonl"
    rows = [
        r | {"correct": i % 4 == 0, "value": 0.25, "unscored": None}
        for i, r in enumerate(files.read_records(path))
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert "not shown to beat the majority baseline" in _text(render_report([folder / "sft"]))
    assert "not shown to beat" not in _text(render_report([folder / "rl"]))


def test_each_kind_of_folder_makes_a_report(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo")
    sft = render_report([folder / "sft"])
    assert 'id="training"' in sft
    assert 'id="rollouts"' not in sft
    (tmp_path / "alone").mkdir()
    (folder / "rl" / "eval").rename(tmp_path / "alone" / "eval")
    evaluation = render_report([tmp_path / "alone"])
    assert 'id="evaluation"' in evaluation
    assert 'id="training"' not in evaluation
    rl = render_report([folder / "rl"])
    assert 'id="evaluation"' not in rl
    assert 'id="rollouts"' in rl


def test_greedy_and_sampled_answers_are_not_compared(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo")
    recipe = folder / "rl" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("temperature: 0.0", "temperature: 0.7"))
    text = _text(render_report([folder]))
    assert "Greedy answers" in text
    assert "Answers sampled at temperature 0.7" in text
    assert "McNemar" not in text


def test_evaluations_of_other_answers_are_refused_aloud(
    make_demo: MakeDemo, tmp_path: Path
) -> None:
    folder = make_demo(tmp_path / "demo")
    path = folder / "sft" / "eval" / "step-40.jsonl"
    path.write_text(path.read_text().replace('"answer": "A"', '"answer": "Z"'))
    assert "are not compared: example" in _text(render_report([folder]))


def test_damage_and_emptiness_are_named(tmp_path: Path, make_demo: MakeDemo) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no run"):
        load_runs([tmp_path / "empty"])
    with pytest.raises(DataError, match="is not a folder"):
        load_runs([tmp_path / "absent"])
    folder = make_demo(tmp_path / "demo")
    (folder / "rl" / "env.json").write_text("{")
    with pytest.raises(DataError, match=r"env.json is not JSON"):
        load_runs([folder])
    for text, message in (("a: [", "is not YAML"), ("- a", "is not a recipe")):
        (folder / "sft" / "recipe.yaml").write_text(text)
        with pytest.raises(DataError, match=message):
            load_runs([folder / "sft"])


def test_runs_of_one_name_are_told_apart(make_demo: MakeDemo, tmp_path: Path) -> None:
    folders = [make_demo(tmp_path / name) for name in ("a", "b")]
    names = [run.name for run in load_runs([*folders, folders[0] / "rl"])]
    assert names == ["a/sft", "a/rl", "b/sft", "b/rl"]


def test_evaluations_are_in_natural_order(make_demo: MakeDemo, tmp_path: Path) -> None:
    folder = make_demo(tmp_path / "demo") / "sft"
    rows = (folder / "eval" / "step-40.jsonl").read_text()
    for step in (100, 20):
        (folder / "eval" / f"step-{step}.jsonl").write_text(rows)
    (run,) = load_runs([folder])
    assert list(run.evaluations) == ["step-20", "step-40", "step-100"]


# --------------------------------------------------------------------- budgets


def test_budgets_keep_first_and_last_steps_and_say_what_is_left_out(
    make_demo: MakeDemo, tmp_path: Path
) -> None:
    runs = load_runs([make_demo(tmp_path / "demo")])
    full = embed(runs, Budget())
    assert [s["step"] for s in full.runs[0]["steps"]] == [30, 60, 90, 120]
    assert len(full.strips) == 24
    most = sum(f.stat().st_size for f in runs[1].rollout_files.values()) * 4 // 5
    thin = embed(runs, Budget(text=most, strips=9000))
    assert [s["step"] for s in thin.runs[0]["steps"]] == [30, 90, 120]
    assert thin.left_out == {"rl": 1}
    assert sum(map(len, thin.strips.values())) <= 9000
    assert len(thin.strips) + thin.strips_left_out == 18
    last = embed(runs, Budget(text=1, strips=0))
    assert [s["step"] for s in last.runs[0]["steps"]] == [120]
    text = _text(render_report([tmp_path / "demo"], Budget(text=1, strips=0)))
    assert "rollouts of 3 logged steps are not embedded" in text
    assert "6 frame strips are left out" in text


# ---------------------------------------------------------------------- charts


def test_series_share_a_chart_by_topic_and_scale() -> None:
    rows = [
        {"step": s, "time": 0.0, "reward/mean": 1.0, "reward/accuracy": 0.5, "loss": 3.0}
        | {"optim/lr": 1e-6, "optim/grad_norm": 1.0, "time/a_s": 1.0, "time/b_s": 0.001}
        for s in (1, 2)
    ]
    titles = [(c.title, [s.name for s in c.series]) for c in make_charts(rows)]
    assert titles == [
        ("reward", ["mean", "accuracy"]),
        ("loss", ["loss"]),
        ("optim/lr", ["optim/lr"]),
        ("optim/grad_norm", ["optim/grad_norm"]),
        ("time", ["a_s", "b_s"]),
    ]


def test_a_chart_shows_the_numbers_that_were_logged() -> None:
    rows = [{"step": s, "time": 0.0, "loss": v} for s, v in ((1, 4.0), (2, None), (3, 2.0))]
    rows[1]["nonfinite"] = {"loss": "nan"}
    (chart,) = make_charts(rows)
    (left, top), (right, bottom) = chart.series[0].marks
    assert left < chart.broken[0] < right
    assert top < bottom
    assert [label for _, label in chart.ticks_y] == ["2", "2.5", "3", "3.5", "4"]
    assert chart.data["step"] == ["1", "3"]
    assert chart.data["y"] == [["4", "2"]]
    assert chart.series[0].last == "2"


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1e-9, 1e-9], [1e12, -3.0], [None, None]])
def test_any_values_can_be_drawn(values: list[float | None]) -> None:
    rows = [{"step": i, "time": 0.0, "x": v} for i, v in enumerate(values)]
    for chart in make_charts(rows):
        assert 2 <= len(chart.ticks_y) <= 8
        assert all(label.isdigit() for _, label in chart.ticks_x)
        for x, y in chart.series[0].marks:
            assert 0 <= x <= 380
            assert 0 <= y <= 190


def test_long_runs_are_thinned_by_means_not_by_omission() -> None:
    rows = [{"step": s, "time": 0.0, "loss": float(s % 2)} for s in range(3000)]
    (chart,) = make_charts(rows)
    assert len(chart.data["step"]) == 300
    assert set(chart.data["y"][0]) == {"0.5"}
    assert "mean over neighbouring steps" in chart.note


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00025, "2.5e-4"),
        (1e-6, "1e-6"),
        (12.3456, "12.35"),
        (54321, "54321"),
        (2e7, "2e7"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


# --------------------------------------------------------------------- hostile


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag in ("img", "iframe", "object", "embed", "link", "base"):
            self.bad.append(tag)
        self.bad += [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_what_a_run_wrote_never_becomes_markup(
    make_evil: Callable[[Path], tuple[Path, str]], tmp_path: Path
) -> None:
    folder, evil = make_evil(tmp_path / "demo")
    html = render_report([folder])
    elements = _Elements()
    elements.feed(html)
    assert elements.scripts == 2
    assert elements.bad == []
    rollouts = [
        r
        for run in _island(html)["runs"]
        for s in run["steps"]
        for g in s["groups"]
        for v in g["views"]
        for r in v["rollouts"]
    ]
    assert {r["text"] for r in rollouts} == {evil}
    assert "{{ 7 * 7 }}" in _text(html)


@pytest.mark.parametrize("name", ["../../secret.jpg", "secret.txt", "link.jpg", "text.jpg"])
def test_a_strip_name_cannot_reach_other_files(
    make_demo: MakeDemo, tmp_path: Path, name: str
) -> None:
    """Somebody else's run folder must not make a report embed our files."""
    rl = make_demo(tmp_path / "demo") / "rl"
    secret = b"\xff\xd8\xff secret"
    (tmp_path / "secret.jpg").write_bytes(secret)
    (rl / "strips" / "secret.txt").write_bytes(secret)
    (rl / "strips" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (rl / "strips" / "text.jpg").write_bytes(b"secret")
    path = rl / "rollouts" / "step-120.jsonl"
    rows = [r | {"strips": [name]} for r in files.read_records(path)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    strips = embed(load_runs([rl]), Budget()).strips
    assert f"rl/{name}" not in strips
    assert len(strips) == 18


# --------------------------------------------------------------------- command


def test_the_command_writes_beside_the_run_and_overwrites_reports_only(
    make_demo: MakeDemo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_demo(tmp_path / "demo")
    for _ in range(2):
        assert main(["report", str(folder)]) == 0
        assert capsys.readouterr().out.strip() == str(folder / "report.html")
    both = [str(folder / "sft"), str(folder / "rl")]
    assert main(["report", *both]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["report", *both, "--out", str(tmp_path / "new" / "both.html")]) == 0
    assert (tmp_path / "new" / "both.html").is_file()
    (tmp_path / "notes.html").write_text("<p>mine</p>")
    assert main(["report", str(folder), "--out", str(tmp_path / "notes.html")]) == 2
    assert (tmp_path / "notes.html").read_text() == "<p>mine</p>"
    assert main(["report", str(tmp_path / "absent")]) == 2
    assert main(["report", str(tmp_path / "new")]) == 1
    assert "holds no run" in capsys.readouterr().err
