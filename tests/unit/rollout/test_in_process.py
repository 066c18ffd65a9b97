"""The engine that samples with the learner's own weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tiny_models import fresh, make_prompt

from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.models.load import VideoLM
from kinograd.rollout.engine import Request, awake, open_engine
from kinograd.rollout.in_process import InProcessEngine
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.types import ORDERED, Example, Kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    make_tiny(path, "0.8m", seed=3)
    return path


def example(name: str) -> Example:
    return Example(name, Kind.FREE_FORM, "what?", "x", ())


def say(engine, model: VideoLM) -> list[int]:
    request = Request(example("a"), ORDERED, make_prompt(model, 0), 1)
    greedy = SamplingConfig(max_new_tokens=8, temperature=0)
    return engine.generate([request], greedy, key=(0,))[0].rollouts[0].token_ids.tolist()


def test_the_section_opens_its_engine_which_answers_with_the_newest_weights(folder) -> None:
    model = fresh(folder)
    engine = open_engine(model, InProcess(max_rows=2))
    assert isinstance(engine, InProcessEngine)
    assert engine.exact
    before = say(engine, model)
    with awake(engine):
        assert say(engine, model) == before
    with torch.no_grad():  # an update
        for p in model.lm.parameters():
            p.mul_(-1)
    engine.sync(1)
    assert say(engine, model) != before
    engine.close()


def test_rollouts_do_not_depend_on_batching(folder):
    model = fresh(folder)
    requests = [
        Request(example(str(i)), ORDERED, make_prompt(model, i, text=7 + i % 3), 4)
        for i in range(6)
    ]
    sampling = SamplingConfig(max_new_tokens=10)
    whole = InProcessEngine(model, InProcess()).generate(requests, sampling, key=(9,))
    apart = InProcessEngine(model, InProcess(max_rows=1)).generate(
        requests[::-1], sampling, key=(9,)
    )
    for a, b in zip(whole, apart[::-1], strict=True):
        assert [r.token_ids.tolist() for r in a.rollouts] == [
            r.token_ids.tolist() for r in b.rollouts
        ]
    other = InProcessEngine(model, InProcess()).generate(requests, sampling, key=(10,))
    assert any(
        r.token_ids.tolist() != s.token_ids.tolist()
        for a, b in zip(whole, other, strict=True)
        for r, s in zip(a.rollouts, b.rollouts, strict=True)
    )


def test_greedy_equals_generate(folder):
    model = fresh(folder)
    prompt = make_prompt(model, 3, grid=(2, 4, 6))  # one temporal step: both position rules agree
    group = InProcessEngine(model, InProcess()).generate(
        [Request(example("a"), ORDERED, prompt, 2)],
        SamplingConfig(max_new_tokens=16, temperature=0),
        key=(0,),
    )[0]
    hf = model.lm.model.eval()
    generated = hf.generate(
        input_ids=torch.from_numpy(prompt.input_ids)[None],
        attention_mask=torch.ones(1, len(prompt.input_ids), dtype=torch.long),
        mm_token_type_ids=torch.from_numpy(prompt.is_media)[None].int() * 2,
        pixel_values_videos=prompt.media[0].pixels,
        video_grid_thw=torch.tensor([prompt.media[0].grid]),
        second_per_grid_ts=torch.tensor([prompt.media[0].seconds_per_grid]),
        do_sample=False,
        max_new_tokens=16,
        suppress_tokens=list(model.family.banned_tokens),
    )[0, len(prompt.input_ids) :]
    for rollout in group.rollouts:
        assert rollout.token_ids.tolist() == generated.tolist()
