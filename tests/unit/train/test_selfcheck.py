from __future__ import annotations

import pytest
import torch

from kinograd.config.schema import ModelConfig
from kinograd.models import attention, prefix
from kinograd.models.load import load
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.train.selfcheck import SelfCheckFailed, check_learner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    make_tiny(path, "0.8m", seed=3)
    return path


@pytest.mark.parametrize("train_vision", [True, False])
def test_a_sound_model_passes_and_is_left_alone(folder, train_vision):
    model = load(ModelConfig(path=str(folder), device="cpu", train_vision=train_vision))
    before = [p.clone() for p in model.lm.parameters()]
    result = check_learner(model)
    assert result.logprobs < 1e-4
    assert result.gradients < 1e-4
    assert result.pixel_effect > 0
    assert all(p.grad is None for p in model.lm.parameters())
    assert model.lm.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.lm.parameters(), strict=True))


def test_bfloat16_passes_within_its_rounding(folder):
    check_learner(load(ModelConfig(path=str(folder), device="cpu", dtype="bfloat16")))


def test_blindness_is_refused(folder, monkeypatch):
    model = load(ModelConfig(path=str(folder), device="cpu"))
    seen = prefix.PrefixLM.media_features

    def blind(self, media):
        return {m: torch.zeros_like(f) for m, f in seen(self, media).items()}

    monkeypatch.setattr(prefix.PrefixLM, "media_features", blind)
    with pytest.raises(SelfCheckFailed, match="pixels do not reach the loss"):
        check_learner(model)


def test_wrong_gradients_are_refused(folder, monkeypatch):
    """The classic mistake: each part's backward with its own output instead of the merged."""
    model = load(ModelConfig(path=str(folder), device="cpu"))
    real = attention.attend_backward

    def wrong(grad, query, key, value, out, lse, scale, causal, mask):
        own_out, own_lse = attention.attend(query, key, value, scale, causal, mask)
        return real(grad, query, key, value, own_out, own_lse, scale, causal, mask)

    monkeypatch.setattr(attention, "attend_backward", wrong)
    with pytest.raises(SelfCheckFailed, match="gradients differ"):
        check_learner(model)
