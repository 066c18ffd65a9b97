"""Token ids and positions of prompts and responses: the placeholders' and the text's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoTokenizer

from kinograd.config.schema import PromptConfig
from kinograd.models.families.qwen_vl import Qwen25VL
from kinograd.models.media import Patches
from kinograd.models.prompt import PromptTooLong, encode, encode_response
from kinograd.prompts import response_text
from kinograd.types import Cut, DataError, Example, Kind, Media, MediaType

VIDEO, IMAGE = MediaType.VIDEO, MediaType.IMAGE


def media(*types: MediaType) -> tuple[Media, ...]:
    return tuple(Media(t, Cut.whole(f"{i}.mp4")) for i, t in enumerate(types))


def example(
    question: str = "Q?",
    kind: Kind = Kind.FREE_FORM,
    types: tuple[MediaType, ...] = (VIDEO,),
    options: tuple[str, ...] = (),
    rationale: str | None = None,
    answer: str = "x",
) -> Example:
    return Example("e", kind, question, answer, media(*types), options, rationale)


# -------------------------------------------------------------- ids, positions


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def family(tiny: Path) -> Qwen25VL:
    return Qwen25VL(AutoConfig.from_pretrained(tiny))


def patches(
    grid: tuple[int, int, int] = (2, 4, 6), seconds: float = 1.0, type: MediaType = VIDEO
) -> Patches:
    return Patches(type, torch.zeros(int(np.prod(grid)), 1), grid, seconds)


def test_the_whole_prompt(tokenizer: Any, family: Qwen25VL) -> None:
    shown = [patches((1, 4, 4), 0.0, IMAGE), patches((2, 2, 4))]
    prompt = encode(
        example("<image> then <video> why?", types=(IMAGE, VIDEO)),
        shown,
        PromptConfig(template="plain", system="S"),
        tokenizer,
        family,
    )
    assert tokenizer.decode(prompt.input_ids) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|> then "
        "<|vision_start|>" + "<|video_pad|>" * 4 + "<|vision_end|> why?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert prompt.media == tuple(shown)
    pads = [tokenizer.convert_tokens_to_ids(f"<|{t}_pad|>") for t in ("image", "video")]
    assert prompt.is_media.tolist() == np.isin(prompt.input_ids, pads).tolist()
    assert prompt.next_position == prompt.positions.max() + 1


@pytest.mark.parametrize("where", ["question", "option", "answer", "rationale"])
@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|video_pad|>", "<|endoftext|>"])
def test_control_tokens_in_the_data_are_refused(
    tokenizer: Any, family: Qwen25VL, token: str, where: str
) -> None:
    text = f"a{token}b"
    harmful = {
        "question": example(text),
        "option": example(options=("A. up", text), kind=Kind.MULTIPLE_CHOICE),
        "answer": example(answer=text),
        "rationale": example(rationale=text),
    }[where]
    with pytest.raises(DataError, match="holds the control token") as caught:
        encode(harmful, [patches()], PromptConfig(), tokenizer, family)
    assert token in str(caught.value)


def test_a_prompt_is_refused_at_its_true_length(tokenizer: Any, family: Qwen25VL) -> None:
    shown = [patches((8, 4, 4))]
    length = len(encode(example(), shown, PromptConfig(), tokenizer, family).input_ids)
    encode(example(), shown, PromptConfig(max_tokens=length), tokenizer, family)
    with pytest.raises(PromptTooLong, match=f"has {length} tokens, prompt.max_tokens is"):
        encode(example(), shown, PromptConfig(max_tokens=length - 1), tokenizer, family)


def restated(ids: list[int], shown: list[Patches], family: Qwen25VL) -> list[tuple[int, ...]]:
    """Qwen2.5-VL's rule (arXiv 2502.13923, section 2.1.3), token by token.

    Text counts on from the largest position so far on any axis; a medium's tokens take
    (time, row, column) from there, time in steps of the seconds between temporal patches
    times ``tokens_per_second``, whole numbers by truncation.
    """
    out: list[tuple[int, ...]] = []
    left, at = list(shown), 0
    while at < len(ids):
        start = 1 + max((max(p) for p in out), default=-1)
        if ids[at] not in (family.image_token, family.video_token):
            out.append((start, start, start))
            at += 1
            continue
        medium = left.pop(0)
        t, h, w = medium.grid
        per_second = family.config.vision_config.tokens_per_second
        step = per_second * float(np.float32(medium.seconds_per_grid))
        for i in range(t):
            time = int(i * step) if medium.type is VIDEO else i
            for row in range(h // 2):
                for column in range(w // 2):
                    out.append((start + time, start + row, start + column))
                    at += 1
    return out


GRIDS = st.tuples(
    st.integers(1, 9),
    st.integers(1, 4).map(lambda x: 2 * x),
    st.integers(1, 4).map(lambda x: 2 * x),
)
PIECES = st.one_of(
    st.integers(1, 12),
    st.builds(
        patches, GRIDS, st.floats(0.05, 4.0, allow_nan=False), st.just(VIDEO)
    ),
    st.builds(lambda g: patches((1, *g[1:]), 0.0, IMAGE), GRIDS),
)  # fmt: skip


def layout(pieces: list[int | Patches], family: Qwen25VL) -> tuple[list[int], list[Patches]]:
    """Token ids of text runs and media, each medium between its start and end."""
    ids: list[int] = []
    shown = [p for p in pieces if isinstance(p, Patches)]
    for piece in pieces:
        if isinstance(piece, int):
            ids += [300 + i for i in range(piece)]
        else:
            pad = family.video_token if piece.type is VIDEO else family.image_token
            ids += [family.vision_start, pad, family.vision_end]
    return family.expand(ids, shown).tolist(), shown


@given(pieces=st.lists(PIECES, min_size=1, max_size=5))
def test_positions_follow_the_published_rule(family: Qwen25VL, pieces) -> None:
    ids, shown = layout(pieces, family)
    positions = family.positions(np.array(ids), shown)
    assert positions.shape == (3, len(ids))
    assert [tuple(p) for p in positions.T.tolist()] == restated(ids, shown, family)


@pytest.mark.vllm
def test_positions_are_vllms(family: Qwen25VL) -> None:
    """The same tokens and grids through vLLM's own function, for a thousand clips."""
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
    from vllm.multimodal.inputs import (
        MultiModalBatchedField,
        MultiModalFeatureSpec,
        MultiModalFieldElem,
        MultiModalKwargsItem,
        PlaceholderRange,
    )

    rng = np.random.default_rng(0)
    model = Qwen2_5_VLForConditionalGeneration.__new__(Qwen2_5_VLForConditionalGeneration)
    torch.nn.Module.__init__(model)
    model.config = family.config
    field = MultiModalBatchedField(keep_on_cpu=True)
    for _ in range(1000):
        frames, seconds = int(rng.integers(2, 64)), round(float(rng.uniform(0.5, 90)), 2)
        video = patches(
            (-(-frames // 2), *(2 * int(x) for x in rng.integers(1, 5, 2))), 2 / (frames / seconds)
        )
        image = patches((1, 4, 2), 0.0, IMAGE)
        ids, shown = layout([3, image, 2, video, 4], family)
        features, at = [], 0
        for medium in shown:
            name = "image" if medium.type is IMAGE else "video"
            pad = family.image_token if medium.type is IMAGE else family.video_token
            at = ids.index(pad, at)
            data = {f"{name}_grid_thw": torch.tensor(medium.grid)}
            if name == "video":
                data["second_per_grid_ts"] = torch.tensor(medium.seconds_per_grid)
            item = MultiModalKwargsItem({k: MultiModalFieldElem(v, field) for k, v in data.items()})
            place = PlaceholderRange(offset=at, length=family.n_tokens(medium))
            features.append(MultiModalFeatureSpec(item, name, "", place))
        theirs, _ = model.get_mrope_input_positions(ids, features)
        np.testing.assert_array_equal(family.positions(np.array(ids), shown), theirs.numpy())


def test_a_response_ends_with_one_end_of_turn_token(tokenizer: Any) -> None:
    worked = example(rationale="red blue . first red", answer="red")
    ids = encode_response(worked, tokenizer)
    assert ids.dtype == np.int64
    assert tokenizer.decode(ids) == response_text(worked) + "<|im_end|>"
    assert (ids == tokenizer.eos_token_id).sum() == 1
