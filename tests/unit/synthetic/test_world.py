from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from kinograd.config.synthetic import SyntheticConfig, SyntheticSplit
from kinograd.config.video import VideoConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.keys import generator
from kinograd.synthetic import FAMILIES, build
from kinograd.synthetic.build import compose, render_clip
from kinograd.synthetic.families import shell, swap, turn
from kinograd.synthetic.mp4_writer import write_mp4
from kinograd.synthetic.sample import SyntheticSample
from kinograd.types import Kind, UsageError, VideoSpec
from kinograd.video.decode import decode

STATIC = {"colour", "shape", "count"}
FLASHES = ["order", "first", "next", "around", "tally", "turn", "swap"]


SPEC = VideoSpec(fps=None, nframes=16, min_pixels=784)


def config(**changes) -> SyntheticConfig:
    return SyntheticConfig.model_validate(
        {"families": list(FAMILIES), "splits": {"train": 20, "test": 8}, "workers": 1} | changes
    )


@cache
def samples(family: str) -> list[SyntheticSample]:
    return [FAMILIES[family](generator("test", family, i), config()) for i in range(2500)]


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
        example, sample = compose(world, "train", index)
        for number, path in enumerate(example.media[0].cut.paths):
            decoded = frames_of(tmp_path / path).astype(float)
            drawn = render_clip(world, "train", index, sample, number)
            assert decoded.shape == drawn.shape == (16, 56, 56, 3)
            assert np.abs(decoded - drawn).mean() < 6
            moves = np.ptp(drawn.reshape(16, -1).astype(int), axis=0).max() > 80
            assert moves == (example.extra["family"] not in STATIC)


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
    assert sum(ready) == 28
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    build(world, tmp_path)
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    (tmp_path / "test.jsonl").unlink()  # as if killed in the middle of the second split
    (tmp_path / "clips" / "test-000003.mp4").unlink()
    (tmp_path / "clips" / "test-000003.mp4.4194305.0.partial").write_bytes(b"half a clip")
    build(world, tmp_path)
    assert contents(tmp_path) == whole


def test_folder_of_another_world_is_refused(tmp_path) -> None:
    build(config(), tmp_path)
    with pytest.raises(UsageError, match="holds another synthetic world"):
        build(config(seed=1), tmp_path)


def test_unknown_family_is_named(tmp_path) -> None:
    with pytest.raises(
        UsageError, match=r"unknown synthetic families \['ballet'\]; there are order"
    ):
        build(config(families=["ballet"]), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"splits": {}}, {"families": []}, {"splits": {"../escape": 3}}]
)
def test_a_world_without_a_plan_is_refused(tmp_path, changes) -> None:
    with pytest.raises(UsageError, match=r"must not be empty|a name has letters"):
        build(config(**changes), tmp_path / "world")
    assert not (tmp_path / "world").exists()


def test_splits_plan_families_and_rationales() -> None:
    split = SyntheticSplit(rows=200, families=["order"], rationale_fraction=0.4)
    bare = SyntheticSplit(rows=50, rationale_fraction=0.0, terse=False)
    world = config(splits={"mixed": split, "bare": bare})
    rows = [compose(world, "mixed", i)[0] for i in range(200)]
    terse = [r.rationale == f"looks like {r.answer}" for r in rows]
    assert {r.source for r in rows} == {"synthetic/order"}
    assert 0.5 < np.mean(terse) < 0.7
    assert all(compose(world, "bare", i)[0].rationale is None for i in range(50))


def test_no_scene_is_in_two_splits() -> None:
    world = config(splits={"train": 500, "tune": 500, "test": 500})
    scenes = Counter(
        b"".join(s.path.tobytes() for s in compose(world, split, i)[1].clips[0])
        for split in world.splits
        for i in range(500)
    )
    assert max(scenes.values()) == 1


def test_rendering_imports_no_torch() -> None:
    code = "import sys, kinograd.synthetic.build; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# --------------------------------------------------------------- the families


@pytest.mark.parametrize("family", FAMILIES)
def test_working_ends_in_the_answer(family: str) -> None:
    for sample in samples(family)[:500]:
        assert sample.rationale.endswith(f" {sample.answer}")
        assert not sample.choices or sample.answer in sample.choices


@pytest.mark.parametrize("family", FAMILIES)
def test_order_blind_observer_is_at_chance(family: str) -> None:
    """The ideal observer knows the truth of every frame, not their order.

    All it can use is what was the answer elsewhere, to the same question about the same
    bag of frames.
    """
    half = len(samples(family)) // 2
    halves = samples(family)[:half], samples(family)[half:]
    hits = []
    for known, asked in (halves, halves[::-1]):
        table: dict = defaultdict(Counter)
        for sample in known:
            table[sample.question, sample.order_blind_key][sample.answer] += 1
        guesses = [table[p.question, p.order_blind_key].most_common(1) for p in asked]
        hits += [g[0][0] == p.answer for g, p in zip(guesses, asked, strict=True) if g]
    assert len(hits) > 0.6 * len(samples(family))
    chance = np.mean([sample.chance for sample in samples(family)])
    assert (chance == 1) == (family in STATIC)
    assert chance <= 0.5 or family in STATIC
    error = np.sqrt(chance * (1 - chance) / len(hits))
    assert np.mean(hits) == pytest.approx(chance, abs=3.5 * error)


@pytest.mark.parametrize("family", FLASHES)
def test_times_of_flashes_do_not_tell_the_answer(family: str) -> None:
    begins = defaultdict(lambda: defaultdict(list))
    for sample in samples(family):
        begins[len(sample.events)][sample.answer].append(sample.events[0]["frame"])
    for by_answer in begins.values():
        groups = [v for v in by_answer.values() if len(v) > 50]
        errors = [np.std(v) / np.sqrt(len(v)) for v in groups]
        assert not groups or np.ptp([np.mean(v) for v in groups]) < 5 * max(errors)


def test_places_of_flashes_do_not_tell_their_order() -> None:
    """Of three flashes, two that share a quadrant are neighbours as often as chance has it."""
    adjacent = []
    for sample in samples("order"):
        places = [e["place"] for e in sample.events]
        pairs = [(i, j) for i in range(len(places)) for j in range(i) if places[i] == places[j]]
        if len(places) == 3 and len(pairs) == 1:
            adjacent += [i - j == 1 for i, j in pairs]
    error = np.sqrt(2 / 9 / len(adjacent))
    assert np.mean(adjacent) == pytest.approx(2 / 3, abs=3.5 * error)


def test_like_flashes_stand_in_different_places() -> None:
    for sample in samples("turn")[:300]:
        looks = Counter((e["colour"], e["place"]) for e in sample.events)
        repeats = Counter(e["colour"] for e in sample.events)
        assert max(looks.values()) == 1 or max(repeats.values()) > 4


def test_no_frame_carries_traces_of_those_before_it(tmp_path) -> None:
    """Encoded backwards, the same frames come out: the codec gives away no order."""
    drawn = render_clip(config(), "train", 0, compose(config(), "train", 0)[1], 0)
    write_mp4(tmp_path / "forth.mp4", drawn)
    write_mp4(tmp_path / "back.mp4", drawn[::-1])
    assert (frames_of(tmp_path / "forth.mp4") == frames_of(tmp_path / "back.mp4")[::-1]).all()


@pytest.mark.parametrize(
    ("family", "opposite"),
    [
        ("direction", {"up": "down", "down": "up", "left": "right", "right": "left"}),
        ("enter", {"enters": "leaves", "leaves": "enters"}),
    ],
)
def test_motion_played_backwards_has_the_opposite_answer(family: str, opposite: dict) -> None:
    """Each way of moving, reversed, is one of the opposite's: frames alone decide nothing."""

    def outline(path: np.ndarray) -> tuple:
        ends = (np.abs(path[[0, -1]] - 0.5).max(1) > 0.6).tolist()
        way = np.sign(np.diff(path, axis=0).sum(0).round(6)).tolist()
        return ends, way if family == "direction" else 0

    seen: dict = defaultdict(Counter)
    for sample in samples(family):
        (sprite,) = sample.clips[0]
        seen[sample.answer][str(outline(sprite.path))] += 1
        seen[opposite[sample.answer], "reversed"][str(outline(sprite.path[::-1]))] += 1
    for answer in opposite:
        assert seen[answer].keys() == seen[answer, "reversed"].keys()


def test_turns_by_hand() -> None:
    assert turn.states(["red", "red", "blue"]) == ["up", "left", "down", "up"]
    assert turn.states(["green", "white", "red"]) == ["up", "right", "right", "up"]
    assert turn.states(["white", "white", "white"]) == ["up", "left", "up", "left"]


def test_swaps_by_hand() -> None:
    assert swap.states(["red", "green", "blue"]) == ["ABC", "BAC", "CAB", "CBA"]


def test_shells_by_hand() -> None:
    assert shell.states(0, ["01", "12", "02"]) == ["left", "centre", "right", "left"]


def test_hidden_states_follow_from_the_events() -> None:
    for name, family in (("turn", turn), ("swap", swap)):
        for sample in samples(name)[:200]:
            assert family.states([e["colour"] for e in sample.events]) == sample.extra["states"]
            assert sample.answer in sample.extra["states"][-1]


def test_counts_follow_from_the_events() -> None:
    for sample in samples("tally")[:200]:
        colours = [e["colour"] for e in sample.events]
        _, _, asked, *_, side, _ = sample.question.rstrip("?").split()
        part = slice(None, colours.index("white"))
        if side == "after":
            part = slice(colours.index("white"), None)
        assert sample.answer == str(colours[part].count(asked))


def test_flashes_stand_where_and_when_the_events_say() -> None:
    for sample in samples("order")[:50]:
        colours = [e["colour"] for e in sample.events]
        asked = sample.question.removesuffix("?").split()[-1]
        place = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}[asked]
        assert colours[place] == sample.answer
        begins = [e["frame"] for e in sample.events]
        assert begins == sorted(set(begins))
        assert [int(np.argmax(s.seen)) for s in sample.clips[0]] == begins
        assert all(s.seen.sum() == 2 for s in sample.clips[0])


def test_dark_event_hides_its_event(tmp_path) -> None:
    world = config(families=["dark_event"], splits={"train": 6})
    build(world, tmp_path)
    for example in read_examples(tmp_path / "train.jsonl"):
        clip = decode(example.media[0], SPEC, VideoConfig(), tmp_path)
        dark = clip.frames.reshape(16, -1).max(1) < 20
        assert dark.tolist() == [False] * 6 + [True] * 4 + [False] * 6
        assert np.abs(clip.frames[0].astype(int) - clip.frames[-1]).max() > 80


def test_mixed_clips_take_turns(tmp_path) -> None:
    world = config(families=["mix_vid"], splits={"train": 4})
    build(world, tmp_path)
    for index, example in enumerate(read_examples(tmp_path / "train.jsonl")):
        sample = compose(world, "train", index)[1]
        clip = decode(example.media[0], SPEC, VideoConfig(), tmp_path)
        clips = [
            render_clip(world, "train", index, sample, n).transpose(0, 3, 1, 2) for n in (0, 1)
        ]
        drawn = np.concatenate([clips[n][a:b] for n, a, b in sample.edit])
        assert np.abs(clip.frames.astype(int) - drawn).mean() < 6


# ------------------------------------------------------------------ the knobs


def test_knobs_make_the_scene_harder() -> None:
    def pixels(**knobs) -> np.ndarray:
        world = config(families=["order"], **knobs)
        return render_clip(world, "train", 0, compose(world, "train", 0)[1], 0).astype(int)

    plain = pixels()
    assert pixels(size=112, frames=32).shape == (32, 112, 112, 3)
    for knob in ({"distractors": 3}, {"occluders": 2}, {"texture": 20.0}):
        other = pixels(**knob)
        assert (np.abs(other - plain) > 10).mean() > 0.005, knob
    grain = pixels(noise=8.0)
    assert 4 < np.abs(np.diff(grain[:2], axis=0)).mean() < 12
    assert len({e["frame"] for e in compose(config(events=(6, 6)), "train", 0)[1].events}) == 6


def test_wordings_change_the_question_alone() -> None:
    plain, varied = config(), config(paraphrase=True, rules=True)
    pairs = [(compose(plain, "train", i), compose(varied, "train", i)) for i in range(20)]
    assert any(a.question != b.question for (a, _), (b, _) in pairs)
    for (a, sample), (b, other) in pairs:
        assert (a.answer, a.rationale, a.media) == (b.answer, b.rationale, b.media)
        assert sample.events == other.events


def test_options_stand_in_a_fixed_order() -> None:
    world = config(families=["direction"], multiple_choice=True, splits={"train": 20})
    for index in range(20):
        example, sample = compose(world, "train", index)
        assert example.kind is Kind.MULTIPLE_CHOICE
        assert example.options == ("A. up", "B. left", "C. down", "D. right")
        assert example.options["ABCD".index(example.answer)].endswith(sample.answer)
        assert example.rationale.endswith(f"moves {sample.answer} so {example.answer}")


@pytest.mark.parametrize("events", [(2, 2), (3, 3), (6, 6)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_composes_with_few_and_many_events(family: str, events) -> None:
    world = config(events=events, event_frames=2 if events[0] > 4 else 4)
    for i in range(20):
        sample = FAMILIES[family](generator("few", i), world)
        assert 0 < sample.chance <= 1


def test_events_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"events must rise from at least 2 to at most 6"):
        config(events=(3, 7))
    with pytest.raises(ValueError, match=r"at most 4 \(six colours, 4 times in 16 frames\)"):
        config(events=(2, 5), event_frames=4)
    with pytest.raises(ValueError, match=r"event_frames must be at most a quarter of 16"):
        config(event_frames=5)
