"""Broken bytes through the whole store: a clip or a ClipError, never a crash, never a hang."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kinograd.types import Clip, Cut, Media, MediaType
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError, ClipFault

SOURCES = {
    "fuzz.mp4": {"options": {"g": "8", "bf": "2"}, "container_options": {"movflags": "faststart"}},
    "fuzz.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}},
    "fuzz.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "g": "8"}},
    "fuzz.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "8"}},
    "fuzz.ts": {"codec": "libx264", "options": {"g": "8"}},
    "fuzz.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
}
SLOW = settings(
    max_examples=1500,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FAST = settings(SLOW, max_examples=60)

damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1)),
    st.tuples(st.just("zero"), st.floats(0, 1), st.floats(0, 0.3)),
    st.tuples(st.just("drop"), st.floats(0, 1), st.floats(0, 0.3)),
    st.tuples(st.just("copy"), st.floats(0, 1), st.floats(0, 0.3)),
)


def harm(data: bytes, kind: str, *how) -> bytes:
    out, size = bytearray(data), len(data)
    if kind == "cut":
        return data[: int(how[0] * size)]
    if kind == "flip":
        for place, bit in how[0]:
            out[min(int(place * size), size - 1)] ^= 1 << bit
        return bytes(out)
    start = int(how[0] * size)
    end = min(size, start + int(how[1] * size))
    if kind == "zero":
        out[start:end] = bytes(end - start)
    elif kind == "drop":
        del out[start:end]
    else:
        out[start:start] = data[start:end]
    return bytes(out)


def outcome(store: ClipStore, name: str) -> Clip | ClipError:
    try:
        return store.get(Media(MediaType.VIDEO, Cut.whole(name)))
    except ClipError as error:
        return error


def survive(store: ClipStore, root: Path, data: bytes, suffix: str) -> Clip | ClipFault:
    """Decodes ``data``; fails if the failure is not a fault of the file."""
    name = f"{len(list(root.iterdir()))}{suffix}"
    (root / name).write_bytes(data)
    clip = outcome(store, name)
    if isinstance(clip, ClipError):
        assert "the decoder failed" not in clip.detail, clip  # an exception of our own
        assert clip.reason is not ClipFault.TIMEOUT, clip
        return clip.reason
    assert clip.frames.dtype == np.uint8
    assert clip.frames.shape[0] == 8
    assert np.all(np.isfinite(clip.timestamps))
    assert clip.duration > 0
    assert clip.fps > 0
    return clip


class Fuzz:
    """Stores with and without the right to use what comes before the damage."""

    def __init__(self, root: Path, stores: list[ClipStore], sources: dict[str, bytes]) -> None:
        self.root, self.stores, self.sources = root, stores, sources

    def attempt(self, name: str, how: tuple, mode: int) -> None:
        data = harm(self.sources[name], *how)
        survive(self.stores[mode], self.root, data or b"\0", Path(name).suffix)


@pytest.fixture(scope="session")
def fuzz(clips, make_config, tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    limits = {"workers": 1, "timeout_s": 30.0, "max_duration_s": 600.0, "memory_gb": 0.01}
    stores = [
        ClipStore(make_config(on_damage=mode, **limits), root, 28) for mode in ("error", "partial")
    ]
    made = {name: clips.root / clips.make(name, 24, **how) for name, how in SOURCES.items()}
    yield Fuzz(root, stores, {name: file.read_bytes() for name, file in made.items()})
    for store in stores:
        store.close()


@FAST
@given(st.sampled_from(sorted(SOURCES)), damage, st.sampled_from([0, 1]))
@example("fuzz.webm", ("copy", 0.28125, 0.28125), 1)  # frames twice at one time
def test_harmed_files(fuzz, name, how, mode):
    fuzz.attempt(name, how, mode)


@pytest.mark.slow
@SLOW
@given(st.sampled_from(sorted(SOURCES)), damage, st.sampled_from([0, 1]))
def test_many_harmed_files(fuzz, name, how, mode):
    fuzz.attempt(name, how, mode)


@FAST
@given(st.binary(max_size=2000), st.sampled_from([".mp4", ".mkv", ".avi", ".ts", ".gif"]))
def test_noise(fuzz, data, suffix):
    survive(fuzz.stores[0], fuzz.root, data or b"\0", suffix)


@pytest.mark.slow
def test_harmed_real_clips(fuzz, shared_videos):
    rng = np.random.default_rng(0)
    outcomes: dict[str, set] = {}
    for source in sorted(shared_videos.glob("*.m[kop][4v]")):
        data = source.read_bytes()
        for trial in range(40):
            how = [
                ("cut", rng.random()),
                (
                    "flip",
                    [(p, int(rng.integers(8))) for p in rng.random(int(rng.integers(1, 200)))],
                ),
                ("zero", rng.random(), 0.01 * rng.random()),
                ("drop", rng.random(), 0.1 * rng.random()),
            ][trial % 4]
            got = survive(fuzz.stores[trial % 2], fuzz.root, harm(data, *how), source.suffix)
            outcomes.setdefault(source.name, set()).add(
                got if isinstance(got, ClipFault) else "clip"
            )
    assert all(len(found) > 1 for found in outcomes.values()), outcomes  # harmed, and told apart
