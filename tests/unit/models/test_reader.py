"""Examples to prompts on real clips: shared work, keyed views, failures as values."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kinograd.config.schema import ModelConfig, PromptConfig, VideoConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.models.load import load
from kinograd.models.prompt import PromptTooLong
from kinograd.models.reader import Reader, Unreadable
from kinograd.types import ORDERED, Cut, Example, Media, MediaType, View, ViewKind
from kinograd.video.clip_store import ClipStore
from kinograd.video.decode import ClipError
from kinograd.video.patches import patchify

SHUFFLED, REVERSED, BLANK = (
    View(k) for k in (ViewKind.SHUFFLED, ViewKind.REVERSED, ViewKind.BLANK)
)
VIDEO = VideoConfig(nframes=8, min_pixels=784, max_pixels=3136, workers=0)


@pytest.fixture(scope="module")
def model(tiny: Path):
    return load(ModelConfig(path=str(tiny), device="cpu"))


@pytest.fixture
def make_reader(model, world: Path) -> Iterator[Callable[..., Reader]]:
    stores = []

    def make(root: Path = world, seed: int = 0, **prompt) -> Reader:
        stores.append(ClipStore(VIDEO, root, model.geometry.size_factor))
        return Reader(model, stores[-1], PromptConfig(template="plain", **prompt), seed)

    yield make
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def examples(world: Path) -> list[Example]:
    return read_examples(world / "train.jsonl")


def pixels(reader: Reader, example: Example, view: View = ORDERED, step: int = 0) -> torch.Tensor:
    return torch.cat([m.pixels for m in reader.read(example, view, step).media])


def test_a_prompt_holds_the_clip_as_it_was_decoded(make_reader, model, examples) -> None:
    reader = make_reader()
    prompt = reader.read(examples[0])
    (clip,) = reader.clips(examples[0])
    assert clip.frames.shape == (8, 3, 56, 56)
    expected, grid = patchify(clip.frames, model.geometry)
    (medium,) = prompt.media
    assert torch.equal(medium.pixels, expected)
    assert medium.grid == grid == (4, 4, 4)
    assert medium.seconds_per_grid == pytest.approx(2 * clip.duration / 8)
    assert prompt.is_media.sum() == 4 * 2 * 2


def test_questions_about_one_clip_share_their_patches(make_reader, examples) -> None:
    reader = make_reader()
    again = replace(examples[0], id="another", question="Which colour is it?")
    first, second = reader.read(examples[0]), reader.read(again)
    assert first.media[0] is second.media[0]
    assert reader.read(examples[0], step=7).media[0] is first.media[0]
    assert reader.read(examples[1]).media[0] is not first.media[0]
    assert reader.read(examples[0], REVERSED).media[0] is not first.media[0]


def test_patches_go_with_the_last_prompt(make_reader, examples) -> None:
    reader = make_reader()
    prompt = reader.read(examples[0])
    assert len(reader._patches) == 1
    del prompt
    gc.collect()
    assert len(reader._patches) == 0


def test_shuffles_are_keyed_by_seed_example_and_step(make_reader, examples) -> None:
    reader = make_reader()
    first = pixels(reader, examples[0], SHUFFLED, 3)
    assert torch.equal(first, pixels(reader, examples[0], SHUFFLED, 3))
    assert torch.equal(first, pixels(make_reader(), examples[0], SHUFFLED, 3))
    twin = replace(examples[0], id="another")
    others = [
        pixels(reader, examples[0]),
        pixels(reader, examples[0], SHUFFLED, 4),
        pixels(reader, twin, SHUFFLED, 3),
        pixels(make_reader(seed=1), examples[0], SHUFFLED, 3),
    ]
    assert not any(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("view", [SHUFFLED, REVERSED, BLANK])
def test_a_view_changes_pixels_and_nothing_else(make_reader, examples, view) -> None:
    reader = make_reader()
    plain, other = reader.read(examples[0]), reader.read(examples[0], view)
    np.testing.assert_array_equal(plain.input_ids, other.input_ids)
    np.testing.assert_array_equal(plain.positions, other.positions)
    assert plain.media[0].grid == other.media[0].grid
    assert not torch.equal(plain.media[0].pixels, other.media[0].pixels)
    if view is BLANK:
        assert len(other.media[0].pixels.unique(dim=0)) == 1
        (clip,) = reader.clips(examples[0], view)
        assert not clip.frames.any()


def test_an_image_has_no_order(make_reader, examples, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (56, 56, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    example = replace(examples[0], media=(Media(MediaType.IMAGE, Cut.whole("a.png")),))
    reader = make_reader(tmp_path)
    plain = pixels(reader, example)
    assert plain.shape[0] == 16
    assert torch.equal(plain, pixels(reader, example, SHUFFLED))
    assert torch.equal(plain, pixels(reader, example, REVERSED))
    assert not torch.equal(plain, pixels(reader, example, BLANK))


def test_several_media_stand_in_order(make_reader, model, world, examples, tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (28, 56, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    for name in ("train-000000.mp4", "train-000001.mp4"):
        (tmp_path / name).hardlink_to(world / "clips" / name)
    image = Media(MediaType.IMAGE, Cut.whole("a.png"))
    first, second = (
        Media(MediaType.VIDEO, Cut.whole(n)) for n in ("train-000000.mp4", "train-000001.mp4")
    )
    example = replace(
        examples[0], question="<video> <image> <video> same?", media=(second, image, first)
    )
    prompt = make_reader(tmp_path).read(example)
    assert [m.type.value for m in prompt.media] == ["video", "image", "video"]
    shown = prompt.input_ids[prompt.is_media]
    video, picture = model.family.video_token, model.family.image_token
    assert shown.tolist() == [video] * 16 + [picture] * 2 + [video] * 16
    alone = replace(examples[0], media=(first,))
    assert torch.equal(prompt.media[2].pixels, make_reader(tmp_path).read(alone).media[0].pixels)


def test_failures_are_values_with_reasons(make_reader, world, examples, tmp_path) -> None:
    for clip in (world / "clips").glob("train*"):
        (tmp_path / clip.name).hardlink_to(clip)
    (tmp_path / "text.mp4").write_text("no film")
    data = (world / "clips" / "train-000000.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])

    def showing(path: str, **changes) -> Example:
        media = (Media(MediaType.VIDEO, Cut.whole(path)),)
        return replace(examples[0], id=f"{path} {changes}", media=media, **changes)

    batch = [
        showing("train-000003.mp4"),
        showing("gone.mp4"),
        showing("text.mp4"),
        showing("half.mp4"),
        showing("train-000003.mp4", question="what? " * 200),
        showing("train-000003.mp4", question="<image> what?"),
        showing("train-000003.mp4", question="<|im_end|> what?"),
        showing("../outside.mp4"),
        showing("train-000004.mp4"),
    ]
    reader = make_reader(tmp_path, max_tokens=100)
    results = reader.read_many(batch)
    reasons = [r.reason if isinstance(r, Unreadable) else None for r in results]
    assert reasons[0] is reasons[-1] is None
    assert reasons[1:3] == ["missing", "not_media"]
    assert reasons[3] in ("not_media", "truncated", "damaged")
    assert reasons[4:8] == ["prompt_too_long", "bad_example", "bad_example", "outside_root"]
    for example, result in zip(batch[1:-1], results[1:-1], strict=True):
        assert isinstance(result, Unreadable)
        assert result.example is example
        path = example.media[0].cut.paths[0]
        assert path in result.detail or example.id in result.detail
    with pytest.raises(ClipError, match=r"gone\.mp4"):
        reader.read(batch[1])
    with pytest.raises(PromptTooLong):
        reader.read(batch[4])


def test_shuffled_temporal_patches_reuse_the_features_of_the_ordered_clip(
    make_reader, model, examples
) -> None:
    """The identity behind it: features of shuffled patches are shuffled features."""
    reader, lm = make_reader(), model.lm
    view = View(ViewKind.SHUFFLED, unit="temporal_patch")
    ordered = reader.read(examples[0])
    shuffled = reader.read(examples[0], view, step=3)
    (medium,) = shuffled.media
    (clip,) = reader.clips(examples[0], view, step=3)
    expected, _ = patchify(clip.frames, model.geometry)
    torch.testing.assert_close(medium.pixels, expected, rtol=0, atol=0)
    before = lm.patches_seen
    with torch.no_grad():
        features = lm.media_features([*ordered.media, medium])
        assert lm.patches_seen - before == len(medium.pixels)  # one clip, not two
        computed = lm.media_features([replace(medium, source=None)])
    torch.testing.assert_close(features[medium], next(iter(computed.values())))
    assert not torch.allclose(features[medium], features[ordered.media[0]])
