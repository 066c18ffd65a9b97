"""One question about one clip: from Python and the command line, with training's eyes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kinograd
from kinograd import cli, files
from kinograd.datasets.jsonl import read_examples
from kinograd.eval.recipe import evaluate_checkpoint
from kinograd.inference import Model
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.sft import train_sft
from kinograd.types import Black, Cut, Span
from kinograd.video.decode import ClipError
from kinograd.video.patches import patchify

Recipe = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return kinograd.load(tiny, device="cpu")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The prompts that reach the engine."""
    prompts: list[Any] = []
    generate = InProcessEngine.generate

    def watched(self: InProcessEngine, requests: Any, *rest: Any, **options: Any) -> Any:
        prompts.extend(r.prompt for r in requests)
        return generate(self, requests, *rest, **options)

    monkeypatch.setattr(InProcessEngine, "generate", watched)
    return prompts


def test_a_trained_run_answers_as_its_evaluation_does(
    recipe: Recipe, world: Path, tmp_path: Path
) -> None:
    """Same clip, same sampling contract, same template: the same words."""
    trained = recipe("sft", {"model": {"train_vision": True}, "prompt": {"system": "Look."}})
    folder = train_sft(trained)
    prompt = {"prompt": {"system": "Look."}}
    evaluation = recipe("eval", {"model": {"path": str(folder)}, "eval": {"limit": 4}}, prompt)
    evaluate_checkpoint(evaluation)
    file = Path(evaluation.run.dir) / "eval" / "held_out.jsonl"
    said = {r["id"]: r["text"] for r in files.read_records(file)}
    for path in (trained.run.dir, folder.parent, folder):
        loaded = kinograd.load(path, device="cpu")
        for example in read_examples(world / "held_out.jsonl")[:4]:
            clip = world / example.media[0].cut.paths[0]
            answer = loaded.ask(clip, example.question, options=example.options, max_new_tokens=10)
            assert str(answer) == said[example.id]
            assert not answer.complete


def test_a_real_clip_every_way(
    model: Model, shared_videos: Path, seen: list[Any], tmp_path: Path
) -> None:
    clip = shared_videos / "video1.mp4"
    whole = model.ask(clip, "What happens?", max_new_tokens=5)
    assert whole.text == model.ask(str(clip), "What happens?", max_new_tokens=5).text
    assert whole.text == model.ask(Cut.whole(str(clip)), "What happens?", max_new_tokens=5).text
    assert len({len(p.input_ids) for p in seen}) == 1
    assert seen[0].media[0].grid[0] > 1
    (tmp_path / "link.mp4").symlink_to(clip)
    assert whole.text == model.ask(tmp_path / "link.mp4", "What happens?", max_new_tokens=5).text

    hidden = Cut((Span(str(clip), 0.0, 2.0), Black(2.0), Span(str(clip), 4.0)))
    model.ask(hidden, "What happens?", max_new_tokens=5)
    plain, cut = seen[0].media[0].pixels, seen[-1].media[0].pixels
    black = patchify(np.zeros((2, 3, 28, 28), np.uint8), model.policy.model.geometry)[0][0]
    assert cut.shape == plain.shape
    dark = (cut == black).all(1)
    assert 0 < dark.sum() < len(cut) / 2
    assert (cut[~dark] == plain[~dark]).float().mean() > 0.8  # what is shown is as it was


def test_frames_images_and_arrays(model: Model, seen: list[Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 112, 140, 3), np.uint8)
    texts = [
        model.ask(frames, "What?", fps=4.0, max_new_tokens=4).text,
        model.ask(list(frames), "What?", fps=4.0, max_new_tokens=4).text,
        model.ask([Image.fromarray(f) for f in frames], "What?", fps=4.0, max_new_tokens=4).text,
    ]
    assert len(set(texts)) == 1
    grids = {p.media[0].grid for p in seen}
    assert len(grids) == 1
    assert grids.pop()[0] >= 2
    assert len({p.media[0].seconds_per_grid for p in seen}) == 1

    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    model.ask(tmp_path / "a.png", "What?", max_new_tokens=4)
    picture = Image.fromarray(frames[0])
    for one in ([picture], picture, frames[0], frames[:1]):
        model.ask(one, "What?", max_new_tokens=4)
    for prompt in seen[-4:]:
        assert prompt.media[0].type == "image"
        assert (prompt.media[0].pixels == seen[-5].media[0].pixels).all()
        assert (prompt.input_ids == seen[-5].input_ids).all()


@pytest.mark.parametrize("resize", ["decode", "torch"])
def test_pictures_in_memory_are_resized_as_files_are(
    model: Model, seen: list[Any], tmp_path: Path, resize: str
) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (112, 140, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    limits = dict.fromkeys(("min_pixels", "max_pixels", "image_min_pixels"), 56 * 84)
    changes = {"resize": resize, "image_max_pixels": 56 * 84, **limits}
    video = model.recipe.video.model_copy(update=changes)
    other = Model(model.recipe.model_copy(update={"video": video}))
    for one in (tmp_path / "a.png", picture, [picture, picture]):
        other.ask(one, "What?", max_new_tokens=2)
    of_file, of_image, of_film = (p.media[0].pixels for p in seen)
    assert of_file.shape == of_film.shape
    assert (of_file == of_image).all()
    assert (of_file == of_film).all()


def test_multiple_choice_asks_for_a_letter(model: Model, seen: list[Any]) -> None:
    frames = np.zeros((4, 56, 56, 3), np.uint8)
    model.ask(frames, "Which way?", options=["A. up", "B. down"], max_new_tokens=2)
    text = model.policy.model.tokenizer.decode(seen[-1].input_ids)
    assert "Which way?Options:\nA. up\nB. down\n" in text
    assert "only the single option letter" in text


def test_sampling_follows_the_seed(model: Model) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), np.uint8)

    def say(**options: Any) -> str:
        return str(model.ask(frames, "What?", max_new_tokens=12, **options))

    assert say(temperature=1.0) == say(temperature=1.0) != say(temperature=1.0, seed=1)
    assert say() == say(seed=1)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 56, 56, 3), np.uint8),
        np.zeros((4, 56, 56), np.uint8),
        np.zeros((4, 56, 56, 4), np.uint8),
        np.zeros((4, 56, 56, 3), np.float32),
        [np.zeros((56, 56, 3), np.uint8), np.zeros((28, 56, 3), np.uint8)],
        [],
    ],
    ids=["none", "no channels", "alpha", "floats", "two sizes", "empty list"],
)
def test_what_is_no_film_is_refused_in_words(model: Model, frames: Any) -> None:
    with pytest.raises(ValueError, match="frame"):
        model.ask(frames, "What?")


def test_the_command(
    tiny: Path, world: Path, capsys: pytest.CaptureFixture[str], model: Model
) -> None:
    clip = world / "clips" / "held_out-000000.mp4"
    words = ["ask", str(tiny), str(clip), "Which colour?", "--max-new-tokens", "6"]
    assert cli.main(words) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{model.ask(clip, 'Which colour?', max_new_tokens=6)}\n"
    assert "cut off after 6 tokens" in shown.err
    assert cli.main([*words, "--hide", "0.5-1", "--option", "A. red", "--option", "B. blue"]) == 0


@pytest.mark.parametrize("span", ["1", "2-1", "a-b", "-1-2", "1-1", "nan-2", "1-2-3"])
def test_a_span_to_hide_is_two_seconds(
    tiny: Path, world: Path, span: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = world / "clips" / "held_out-000000.mp4"
    assert cli.main(["ask", str(tiny), str(clip), "What?", f"--hide={span}"]) == 2
    assert "--hide" in capsys.readouterr().err


def test_hiding_beyond_the_end_names_the_clip(model: Model, world: Path) -> None:
    clip = str(world / "clips" / "held_out-000000.mp4")
    with pytest.raises(ClipError, match="held_out-000000"):
        model.ask(Cut((Span(clip, 0.0, 1.0), Black(1e9), Span(clip, 1e9 + 1.0))), "What?")
