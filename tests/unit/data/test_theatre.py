from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import av
import numpy as np
import pytest

from kinograd.config.schema import TheatreConfig, TheatreSplit
from kinograd.data.jsonl import read_examples
from kinograd.data.theatre import FAMILIES, build
from kinograd.data.theatre.build import compose
from kinograd.data.theatre.families import swap, turn
from kinograd.data.theatre.scene import draw
from kinograd.data.theatre.vocabulary import words
from kinograd.types import UsageError

STATIC = {"colour"}


def config(**changes) -> TheatreConfig:
    return TheatreConfig.model_validate(
        {"splits": {"train": 12, "test": 8}, "workers": 1} | changes
    )


def plays(family: str, count: int, **changes):
    world = config(families=[family], splits={"train": count}, **changes)
    return [compose(world, "train", i) for i in range(count)]


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------ the build


def test_clips_hold_what_was_drawn(tmp_path) -> None:
    world = config()
    build(world, tmp_path)
    for index in range(len(FAMILIES)):
        example, play = compose(world, "train", index)
        decoded = frames_of(tmp_path / example.media[0].cut.paths[0]).astype(float)
        drawn = draw(play.sprites, world.frames, world.size)
        assert decoded.shape == drawn.shape == (16, 56, 56, 3)
        assert np.abs(decoded - drawn).mean() < 6
        assert (
            np.ptp(drawn.reshape(16, -1), axis=0).max() > 100 or example.extra["family"] in STATIC
        )


def test_same_bytes_whatever_the_number_of_workers(tmp_path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    big = {"train": 60, "test": 60}
    paths = build(config(splits=big), one)
    build(config(splits=big, workers=3), three)
    assert list(paths) == ["train", "test"]
    assert [len(read_examples(p)) for p in paths.values()] == [60, 60]
    assert contents(one) == contents(three)


def test_finished_build_is_reused_and_a_broken_one_completed(tmp_path) -> None:
    world = config()
    ready: list[int] = []
    build(world, tmp_path, ready.append)
    whole = contents(tmp_path)
    assert sum(ready) == 20
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    build(world, tmp_path)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    (tmp_path / "test.jsonl").unlink()  # as if killed in the middle of the second split
    (tmp_path / "clips" / "test-000003.mp4").unlink()
    (tmp_path / "clips" / ".test-000003.mp4.tmp").write_bytes(b"half a clip")
    build(world, tmp_path)
    assert contents(tmp_path) == whole


def test_folder_of_another_theatre_is_refused(tmp_path) -> None:
    build(config(), tmp_path)
    with pytest.raises(UsageError, match="holds another theatre"):
        build(config(seed=1), tmp_path)


def test_unknown_family_is_named(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"unknown theatre families \['ballet'\]; there are order"):
        build(config(families=["ballet"]), tmp_path)


def test_splits_plan_families_and_rationales() -> None:
    split = TheatreSplit(rows=200, families=["order"], rationale_fraction=0.4)
    bare = TheatreSplit(rows=50, rationale_fraction=0.0, terse=False)
    world = config(splits={"mixed": split, "bare": bare})
    rows = [compose(world, "mixed", i)[0] for i in range(200)]
    terse = [r.rationale == f"looks like {r.answer}" for r in rows]
    assert {r.source for r in rows} == {"theatre/order"}
    assert 0.5 < np.mean(terse) < 0.7
    assert all(compose(world, "bare", i)[0].rationale is None for i in range(50))


def test_no_scene_is_in_two_splits() -> None:
    world = config(splits={"train": 500, "tune": 500, "test": 500})
    scenes = Counter(
        b"".join(s.path[0].tobytes() for s in compose(world, split, i)[1].sprites)
        for split in world.splits
        for i in range(500)
    )
    assert max(scenes.values()) == 1


def test_rendering_imports_no_torch() -> None:
    code = "import sys, kinograd.data.theatre.build; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# --------------------------------------------------------------- the families


@pytest.mark.parametrize("family", FAMILIES)
def test_working_ends_in_the_answer_and_uses_known_words(family: str) -> None:
    known = set(words())
    for example, _ in plays(family, 300):
        assert example.rationale.split()[-1] == example.answer
        text = f"{example.question} {example.rationale} {example.answer}"
        for mark in ".,?":
            text = text.replace(mark, f" {mark} ")
        assert set(text.split()) <= known


def order_blind(train, test) -> tuple[float, float]:
    """Accuracy of the ideal order-blind observer, and its standard error.

    It knows the ground truth of every frame but not their order, so all it can use is the
    answers that went with the same question and the same bag of frames elsewhere.
    """
    table: dict = defaultdict(Counter)
    for example, play in train:
        table[example.question, play.blind][example.answer] += 1
    hits = [
        table[e.question, p.blind].most_common(1)[0][0] == e.answer
        for e, p in test
        if (e.question, p.blind) in table
    ]
    assert len(hits) > 0.85 * len(test)
    return float(np.mean(hits)), float(np.std(hits) / np.sqrt(len(hits)))


@pytest.mark.parametrize("family", FAMILIES)
def test_order_blind_observer_is_at_chance(family: str) -> None:
    drawn = plays(family, 8000)
    accuracy, error = order_blind(drawn[:7000], drawn[7000:])
    chance = np.mean([play.chance for _, play in drawn])
    assert abs(accuracy - chance) < 3.5 * error + 0.01
    assert (chance == 1) == (family in STATIC)
    assert chance <= 0.5 or family in STATIC


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - STATIC))
def test_time_and_place_do_not_tell_the_answer(family: str) -> None:
    """Counts and times of events are as they are whatever the answer."""
    by_answer = defaultdict(list)
    for example, play in plays(family, 3000):
        by_answer[example.answer].append(play.events[0]["frame"])
    means = [np.mean(v) for v in by_answer.values()]
    errors = [np.std(v) / np.sqrt(len(v)) for v in by_answer.values()]
    assert np.ptp(means) < 5 * max(errors)


def test_turns_by_hand() -> None:
    assert turn.states(["red", "red", "blue"]) == ["up", "left", "down", "up"]
    assert turn.states(["green", "white", "red"]) == ["up", "right", "right", "up"]
    assert turn.states(["white", "white", "white"]) == ["up", "left", "up", "left"]


def test_swaps_by_hand() -> None:
    assert swap.states(["red", "green", "blue"]) == ["ABC", "BAC", "CAB", "CBA"]


def test_events_are_the_ground_truth() -> None:
    for example, play in plays("order", 50):
        seen = [e["colour"] for e in example.extra["events"]]
        asked = example.question.removesuffix("?").split()[-1]
        place = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}[asked]
        assert seen[place] == example.answer
        begins = [e["frame"] for e in example.extra["events"]]
        assert begins == sorted(begins)
        assert [int(np.argmax(s.seen)) for s in play.sprites] == begins
