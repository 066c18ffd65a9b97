from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from kinograd.config.schema import ModelConfig
from kinograd.config.synthetic import SyntheticConfig
from kinograd.models.load import load
from kinograd.synthetic.build import compose
from kinograd.synthetic.families import FAMILIES
from kinograd.synthetic.tiny_model import SIZES, SPECIAL_TOKENS, TAG_TOKENS, make_tiny, model_config
from kinograd.types import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    make_tiny(path, "0.8m", extra_words=["zeppelin"])
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_plain_transformers_run_it_on_video(folder, tokenizer) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [
            {
                "role": "user",
                "content": [{"type": "video"}, {"type": "text", "text": "What colour?"}],
            }
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = tokenizer(text.replace("<|video_pad|>", "<|video_pad|>" * 8))["input_ids"]
    inputs = {
        "input_ids": torch.tensor([ids]),
        "mm_token_type_ids": torch.tensor([[2 * (i == model.config.video_token_id) for i in ids]]),
        "video_grid_thw": torch.tensor([[2, 4, 4]]),
        "second_per_grid_ts": torch.tensor([0.5]),
    }
    logits = [
        model(**inputs, pixel_values_videos=pixels).logits[0, -1]
        for pixels in (torch.zeros(32, 1176), torch.ones(32, 1176))
    ]
    assert torch.isfinite(logits[0]).all()
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)  # the video reaches the answer
    assert tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id) == "<|im_end|>"


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200)
def test_any_text_survives_the_tokenizer(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@given(inside=st.text(st.characters(exclude_categories=["Cs"])))
def test_tags_are_one_token_whatever_stands_beside_them(tokenizer, inside: str) -> None:
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for tag in TAG_TOKENS:
        assert len(ids(tag)) == 1
        assert ids(inside + tag + inside) == ids(inside) + ids(tag) + ids(inside)


def test_tags_survive_where_special_tokens_are_dropped(tokenizer) -> None:
    ids = tokenizer("<think>up</think>\n<answer>up</answer><|im_end|>")["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text == "<think>up</think>\n<answer>up</answer>"
    assert all(len(tokenizer(t)["input_ids"]) == 1 for t in SPECIAL_TOKENS)


@pytest.mark.parametrize("family", FAMILIES)
def test_synthetic_words_are_whole_tokens(tokenizer, family: str) -> None:
    """No word of a synthetic text is spelled out: prompts and responses stay short."""
    knobs = {"paraphrase": True, "rules": True, "multiple_choice": True}
    plain = SyntheticConfig(families=[family], splits={"train": 60})
    for config in (plain, plain.model_copy(update=knobs)):
        for index in range(60):
            example, _ = compose(config, "train", index)
            for text in (example.question, example.rationale, example.answer, *example.options):
                parts = re.findall(r"[A-Za-z]+|[^\sA-Za-z]", text)
                words = [p.removeprefix("Ġ") for p in tokenizer.tokenize(text)]
                assert [w for w in words if w] == parts  # a space before a digit stands alone


def test_extra_words_are_whole_tokens(tokenizer) -> None:
    assert tokenizer.tokenize("zeppelin zeppelin") == ["zeppelin", "Ġzeppelin"]


def test_weights_follow_from_the_seed_alone(folder, tmp_path) -> None:
    def weights(path) -> bytes:
        return (path / "model.safetensors").read_bytes()

    state = torch.get_rng_state()
    make_tiny(tmp_path / "same", "0.8m", extra_words=["zeppelin"])
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random state is left alone
    make_tiny(tmp_path / "other", "0.8m", seed=1, extra_words=["zeppelin"])
    assert weights(tmp_path / "same") == weights(folder)
    assert weights(tmp_path / "other") != weights(folder)


@pytest.mark.parametrize(
    ("size", "millions"),
    [("0.8m", 0.87), ("2m", 2.4), ("5m", 5.7), ("S", 13.5), ("L", 31.1), ("60m", 65.1)],
)
def test_sizes_are_what_their_names_say(size: str, millions: float) -> None:
    ids = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
    ids |= {f"w{i}": len(SPECIAL_TOKENS) + i for i in range(655)}
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(model_config(size, ids))
    count = sum({id(p): p.numel() for p in model.parameters()}.values())
    assert count / 1e6 == pytest.approx(millions, rel=0.02)
    s = SIZES[size]
    assert sum(s.mrope_section) == s.hidden // s.heads // 2
    assert s.vision_depth - 1 in s.full_attention_blocks


def test_unknown_size_names_those_there_are(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"unknown tiny model size '7b'; one of 0\.8m, 2m"):
        make_tiny(tmp_path, "7b")


def test_kinograd_loads_it_with_qwens_geometry(folder) -> None:
    model = load(ModelConfig(path=str(folder)))
    geometry = model.geometry
    assert (geometry.patch, geometry.merge, geometry.temporal) == (14, 2, 2)
    assert geometry.mean == (0.48145466, 0.4578275, 0.40821073)
    assert model.tokenizer.convert_ids_to_tokens(list(model.end_tokens)) == ["<|im_end|>"]


def test_initial_predictions_are_not_flat(folder, tokenizer) -> None:
    """Std 0.02 at this width gives nearly uniform predictions and slow learning."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    logits = model(input_ids=torch.arange(40)[None]).logits.detach().numpy()
    assert np.std(logits) > 0.3
