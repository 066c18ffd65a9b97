"""``data stats``: counts, guesses, lengths, clips under a VideoSpec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinograd.config.synthetic import SyntheticConfig
from kinograd.config.video import VideoConfig
from kinograd.curate.stats import MOST, Spread, Tally, summarise
from kinograd.curate.stats_page import histogram, write_page
from kinograd.datasets.jsonl import read_examples
from kinograd.synthetic.build import build
from kinograd.types import Example, Kind
from kinograd.video.decode import decode


def test_guessing_the_commonest_answer() -> None:
    rows = [
        Example(str(i), Kind.MULTIPLE_CHOICE, "?", a, (), ("A. red", "B. blue"), source="s")
        for i, a in enumerate(["A", "blue", "B.", "(b)"])
    ] + [Example("n", Kind.FREE_FORM, "?", a, ()) for a in ("Tea.", "tea", "milk")]
    summary = summarise(rows, VideoConfig())
    guesses = {(g["by"], g["name"]): (g["commonest"], g["accuracy"]) for g in summary["answers"]}
    assert guesses["kind", "multiple_choice"] == ("B", 0.75)
    assert guesses["kind", "free_form"] == ("tea", pytest.approx(2 / 3))
    assert guesses["all", "all"] == ("B", pytest.approx(3 / 7))
    assert summary["counts"]["source"] == {"s": 4, "(none)": 3}


def test_tables_are_capped_and_spreads_are_near() -> None:
    tally = Tally()
    for i in range(MOST + 500):
        tally.add(str(i))
    assert (len(tally.counts), tally.others) == (MOST, 500)
    assert sum(tally.to_json().values()) == MOST + 500
    spread, values = Spread(), np.geomspace(1, 1e4, 5000)
    for value in values:
        spread.add(value)
    found = spread.to_json()
    assert found["mean"] == pytest.approx(values.mean())
    assert found["p95"] == pytest.approx(np.quantile(values, 0.95), rel=0.06)
    assert len(found["bins"]) < 400
    assert sum(float(b[4].split(": ")[1]) for b in histogram(found["bins"])) == 5000


def test_clips_are_measured_as_they_are_decoded(tmp_path: Path) -> None:
    build(SyntheticConfig(splits={"rows": 12}, workers=1), tmp_path)
    rows = read_examples(tmp_path / "rows.jsonl")
    config = VideoConfig(fps=2, min_pixels=784, max_pixels=4 * 784)
    summary = summarise(rows, config, str(tmp_path), workers=2)
    clips = [decode(m, config.spec(), config, tmp_path) for e in rows for m in e.media]
    for name, values in {
        "seconds": [c.duration for c in clips],
        "frames": [len(c.frames) for c in clips],
        "visual tokens": [c.frames[:, 0].size // 2 // 784 for c in clips],
    }.items():
        assert summary["numbers"][name]["n"] == len(clips)
        assert summary["numbers"][name]["mean"] == pytest.approx(np.mean(values)), name


def test_the_command_and_its_page(shelf: Any, tmp_path: Path) -> None:
    (tmp_path / "odd.mp4").write_text("no film")
    odd = [{"type": "video", "path": "odd.mp4"}]
    shelf.write(
        tmp_path / "rows.jsonl",
        [shelf.row("a", source="<b>&"), "no row", shelf.row("c", media=odd)],
    )
    page = tmp_path / "stats.html"
    status, shown = shelf.run(
        "stats", tmp_path / "rows.jsonl", f"media_root={tmp_path}", "-o", page, "video.fps=1"
    )
    assert status == 0
    assert "1 rows: not read: json" in shown
    assert "1 rows: clip fails: missing" in shown
    text = page.read_text()
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "<svg" in text
    assert "http" not in text.replace("http-equiv", "")


def test_an_empty_summary_has_a_page(tmp_path: Path) -> None:
    write_page(summarise([], VideoConfig()), "nothing", tmp_path / "page.html")
    assert "0 rows" in (tmp_path / "page.html").read_text()
