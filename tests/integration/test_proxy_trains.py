"""Proxy tasks built from annotated clips train: their answers are judged, steps are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinograd import cli, files
from kinograd.datasets.jsonl import read_examples, write_examples
from kinograd.train.rl import train_rl
from kinograd.types import Kind

JUDGED = {
    "judges": {"words": {"type": "lexical"}},
    "reward": {
        "format": "off",
        "truncated": "score",
        "judges": {"dark_event": "words", "mix_vid": "words"},
    },
}


def test_hidden_events_and_mixed_clips_train(
    recipe: Callable[..., Any], varied: dict[str, Any], world: Path, tmp_path: Path
) -> None:
    rows = [
        replace(
            row,
            question=f"{row.question} ({row.id})",  # questions recur over clips
            extra={"events": [{"start": 1.5, "end": 2.5, "text": f"something {row.answer}"}]},
        )
        for row in read_examples(world / "train.jsonl")
    ]
    write_examples(tmp_path / "annotated.jsonl", rows)
    paths = []
    for task, more in (("dark-event", []), ("mix-vid", ["shortest=0.5", "longest=1"])):
        paths.append(tmp_path / f"{task}.jsonl")
        words = [tmp_path / "annotated.jsonl", "-o", paths[-1], f"media_root={world}"]
        words += ["test_fraction=0.2", *more]
        assert cli.main(["data", "proxy", task, *map(str, words)]) == 0
        built, held_out = (
            read_examples(f) for f in (paths[-1], paths[-1].with_name(f"{task}.test.jsonl"))
        )
        trained_on, kept = (
            {p for r in rs for p in r.media[0].cut.paths} for rs in (built, held_out)
        )
        assert len(built) > len(held_out) > 0
        assert not trained_on & kept
    kinds = {e.kind for f in paths for e in read_examples(f)}
    assert kinds == {Kind.DARK_EVENT, Kind.MIX_VID}
    (own,) = varied["reward"]["custom"]  # an untrained model hits no word: something must vary
    reward = JUDGED["reward"] | {"custom": [own | {"replaces": None}]}
    data = {"data": {"train": [str(f) for f in paths]}}
    config = recipe("rl", JUDGED | {"reward": reward}, data)
    train_rl(config)
    steps = files.read_records(Path(config.run.dir) / "metrics.jsonl")
    assert [s["step"] for s in steps] == [1, 2]
    for step in steps:
        assert all(np.isfinite(v) for v in step.values())
        assert step["optim/updates"] > 0
        assert step["reward/answered"] > 0
        assert "reward/lexical_f1" in step
