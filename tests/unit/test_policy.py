"""A policy: one model under two readers and one engine, opened from any recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinograd.config.video import VideoConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.policy import CONTRACT, load_contract, open_policy, save_contract
from kinograd.types import KinogradError

Recipe = Callable[..., Any]


@pytest.mark.parametrize("method", ["sft", "rl", "eval"])
def test_held_out_media_may_lie_under_another_root(
    recipe: Recipe, world: Path, tmp_path: Path, method: str
) -> None:
    one = recipe(method)
    with open_policy(one) as policy:
        assert policy.held_out_reader is policy.reader
        assert policy.reader.model is policy.model
    (tmp_path / "elsewhere").symlink_to(world)
    other = one.model_copy(
        update={"eval": one.eval.model_copy(update={"media_root": str(tmp_path / "elsewhere")})}
    )
    example = read_examples(world / "held_out.jsonl")[0]
    with open_policy(other) as policy:
        assert policy.held_out_reader is not policy.reader
        shown = policy.held_out_reader.read(example)
        assert (shown.input_ids == policy.reader.read(example).input_ids).all()


def test_a_contract_is_read_as_it_was_written(recipe: Recipe, tmp_path: Path) -> None:
    config = recipe("sft", {"prompt": {"system": "Look."}})
    save_contract(tmp_path, config)
    assert load_contract(tmp_path) == (config.video, config.prompt)
    (tmp_path / CONTRACT).write_text("{")
    with pytest.raises(KinogradError, match=r"kinograd\.json cannot be read"):
        load_contract(tmp_path)
    (tmp_path / CONTRACT).unlink()
    assert load_contract(tmp_path)[0] == VideoConfig(preset="video_r1_eval_16")
