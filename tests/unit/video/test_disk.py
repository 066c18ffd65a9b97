"""The cache on disk: whole or absent, within its budget, shared without locks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinograd.types import Black, Clip, Cut, Media, MediaType, Span
from kinograd.video.disk import DiskCache
from kinograd.video.fingerprint import clip_key, fingerprint
from kinograd.video.index_cache import load_index, save_index
from kinograd.video.packet_index import PacketCollector
from kinograd.video.video_file import VideoFile


def clip(seed: int = 0, side: int = 32) -> Clip:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 3, side // 8, side // 8))
    frames = np.kron(coarse, np.ones((1, 1, 8, 8))).astype(np.uint8)
    return Clip(frames, np.arange(4) / 3, 29.97, 1.5, 4 / 3, "truncated at 1.30 s")


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path, 1 << 30, jpeg=False, claim_s=60.0)


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


def test_a_clip_comes_back_as_it_was(cache, tmp_path):
    key, saved = "ab" * 20, clip()
    assert cache.load(key) is None
    assert not cache.has(key)
    cache.save(key, saved)
    found = cache.load(key)
    assert cache.has(key)
    assert np.array_equal(found.frames, saved.frames)
    assert np.array_equal(found.timestamps, saved.timestamps)
    assert replace(found, frames=saved.frames, timestamps=saved.timestamps) == saved
    assert [p.suffix for p in files(tmp_path)] == [".safetensors"]


def test_jpeg_is_smaller_and_close(tmp_path):
    rng = np.random.default_rng(0)
    waves = np.add.outer(np.arange(224), np.arange(420))[None, None] * rng.random((4, 3, 1, 1))
    saved = replace(clip(), frames=(127 + 100 * np.sin(waves / 15)).astype(np.uint8))
    raw = DiskCache(tmp_path / "raw", 1 << 30, jpeg=False, claim_s=60.0)
    jpeg = DiskCache(tmp_path / "jpeg", 1 << 30, jpeg=True, claim_s=60.0)
    for store in (raw, jpeg):
        store.save("k" * 40, saved)
    found = jpeg.load("k" * 40)
    assert found.frames.shape == saved.frames.shape
    assert np.abs(found.frames.astype(int) - saved.frames).mean() < 2
    assert jpeg.stats().bytes < raw.stats().bytes / 4


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "text"])
def test_a_damaged_file_is_noticed_and_removed(cache, tmp_path, harm):
    cache.save("ab" * 20, clip())
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[-100] ^= 1
    file.write_bytes({"cut": data[:-7], "empty": b"", "text": b"no clip"}.get(harm, data))
    assert cache.load("ab" * 20) is None
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("was", "now"), [(b"29.97", b"29.87"), (b"[4,3,32,32]", b"[4,3,64,16]"), (b"1.30 s", b"1.20 s")]
)
def test_the_checksum_covers_rates_and_shapes(cache, tmp_path, was, now):
    cache.save("ab" * 20, clip())
    (file,) = files(tmp_path)
    data = file.read_bytes()
    assert data.count(was) == 1
    file.write_bytes(data.replace(was, now))
    assert cache.load("ab" * 20) is None


def test_the_checksum_covers_timestamps(cache, tmp_path):
    cache.save("ab" * 20, clip())
    (file,) = files(tmp_path)
    data = file.read_bytes()
    assert data.count(clip().timestamps.tobytes()) == 1
    other = (clip().timestamps + 1).tobytes()
    file.write_bytes(data.replace(clip().timestamps.tobytes(), other))
    assert cache.load("ab" * 20) is None


def test_a_clip_whose_file_is_another_user_s_is_read_and_stays(cache, tmp_path, monkeypatch):
    """The time of use can only be noted on one's own files."""

    def refuse(*_: object) -> None:
        raise PermissionError("not the owner")

    cache.save("ab" * 20, clip())
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.load("ab" * 20) is not None
    assert len(files(tmp_path)) == 1


def test_the_least_recently_used_clips_go_first(tmp_path):
    size = clip().frames.nbytes
    cache = DiskCache(tmp_path, int(4.5 * (size + 600)), jpeg=False, claim_s=60.0)
    for number in range(4):
        cache.save(f"{number:040d}", clip(number))
        os.utime(files(tmp_path)[-1], (number, number))
    assert cache.load(f"{0:040d}") is not None  # used: no longer the oldest
    for number in range(4, 6):
        cache.save(f"{number:040d}", clip(number))
    kept = [number for number in range(6) if cache.has(f"{number:040d}")]
    assert kept == [0, 3, 4, 5]
    assert cache.stats().bytes <= 4.5 * (size + 600)


def test_stats_and_clear_count_clips_and_touch_nothing_else(cache, tmp_path):
    assert cache.stats().oldest_s is None
    for number in range(3):
        cache.save(f"{number:040d}", clip(number))
    stranger = tmp_path / "clips" / "00" / "notes.txt"
    stranger.write_text("mine")
    stats = cache.stats()
    assert stats.clips == 3
    assert stats.bytes > 3 * clip().frames.nbytes
    assert stats.oldest_s >= 0
    assert cache.clear() == replace(stats, oldest_s=pytest.approx(stats.oldest_s, abs=60))
    assert cache.stats().clips == 0
    assert stranger.read_text() == "mine"


# ------------------------------------------------------------------------ claims


def test_a_clip_is_claimed_by_one(cache):
    assert cache.claim("k" * 40)
    assert not cache.claim("k" * 40)
    cache.release("k" * 40)
    assert cache.claim("k" * 40)
    cache.save("k" * 40, clip())
    cache.release("k" * 40)
    assert cache.claim("k" * 40) is None  # done: nothing to claim


def test_a_claim_holds_until_its_process_dies_or_it_is_old(cache, tmp_path):
    code = f"""
import sys
from kinograd.video.disk import DiskCache
cache = DiskCache({str(tmp_path)!r}, 1 << 30, jpeg=False, claim_s=60.0)
print(cache.claim("k" * 40), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        assert not cache.claim("k" * 40)
        (file,) = files(tmp_path)
        old = time.time() - 61.0
        os.utime(file, (old, old))
        assert cache.claim("k" * 40)  # hung, or on a machine that is gone
        os.utime(file)
        assert not cache.claim("k" * 40)
        other.kill()
        other.wait()
        assert cache.claim("k" * 40)
    assert not cache.claim("k" * 40)


# -------------------------------------------------------------------------- keys


def test_a_key_changes_with_whatever_changes_the_pixels(clips, make_config, video, tmp_path):
    name = clips.make("ok.mp4", 16)
    source = tmp_path / name
    source.write_bytes((clips.root / name).read_bytes())
    config = make_config()

    def key(media=None, changes=None, spec=None, decoder="1"):
        changed = make_config(**(changes or {}))
        return clip_key(media or video(name), spec or changed.spec(), changed, tmp_path, decoder)

    specs = [
        replace(config.spec(), **change)
        for change in (
            {"nframes": 4},
            {"nframes": None, "fps": 2.0},
            {"max_pixels": 10_000},
            {"total_pixels": 10_000},
            {"size_factor": 32},
            {"frame_factor": 1},
            {"resample": "area"},
            {"image_max_pixels": 999_999},
        )
    ]
    keys = [
        key(),
        key(decoder="2"),
        key(changes={"resize": "torch"}),
        key(changes={"on_damage": "partial"}),
        key(Media(MediaType.IMAGE, Cut.whole(name))),
        key(Media(MediaType.VIDEO, Cut((Span(name, 0.5),)))),
        key(Media(MediaType.VIDEO, Cut((Span(name, 0, 1),)))),
        key(Media(MediaType.VIDEO, Cut((Span(name), Black(1.0))))),
        key(Media(MediaType.VIDEO, Cut((Span(name), Black(2.0))))),
        *(key(spec=s) for s in specs),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    assert key(changes={"timeout_s": 1.0, "cache_gb": 1.0, "max_source_bytes": 99999}) == keys[0]
    source.rename(tmp_path / "moved.mp4")
    assert key(video("moved.mp4")) == keys[0]
    data = bytearray((tmp_path / "moved.mp4").read_bytes())
    data[-1] ^= 1
    (tmp_path / "moved.mp4").write_bytes(data)
    assert key(video("moved.mp4")) != keys[0]


def test_a_fingerprint_sees_both_ends_and_the_time_of_change(tmp_path):
    file = tmp_path / "big.bin"
    data = bytearray(300_000)
    file.write_bytes(data)
    os.utime(file, (1, 1))
    before = fingerprint(file)
    for at in (10, 299_990):
        changed = bytearray(data)
        changed[at] = 1
        file.write_bytes(changed)
        os.utime(file, (1, 1))
        assert fingerprint(file) != before
    file.write_bytes(data)
    os.utime(file, (1, 1))
    assert fingerprint(file) == before
    os.utime(file, (2, 2))
    assert fingerprint(file) != before


# ------------------------------------------------------------------- maps on disk


def test_a_map_comes_back_as_it_was(clips, small, tmp_path):
    name = clips.make("h264.mp4", 30, options={"g": "12", "bf": "3"})
    with VideoFile(clips.root / name, name, small) as reader:
        index = reader.index
    save_index(index, tmp_path / "index" / "a.safetensors")
    found = load_index(tmp_path / "index" / "a.safetensors")
    for field in ("pts", "key", "visible"):
        assert np.array_equal(getattr(found, field), getattr(index, field))
    for field in ("time_base", "frames", "rate", "duration", "truncated_at"):
        assert getattr(found, field) == getattr(index, field)
    (tmp_path / "index" / "a.safetensors").write_bytes(b"junk")
    assert load_index(tmp_path / "index" / "a.safetensors") is None
    assert load_index(tmp_path / "none") is None


def test_a_stream_without_frames_has_no_map():
    from fractions import Fraction

    assert PacketCollector("h264").index(Fraction(1, 10), None, truncated=False) is None
