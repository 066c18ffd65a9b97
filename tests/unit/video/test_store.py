"""The store: decoded once, ahead of time, in processes whose death costs one clip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinograd.curate.prefetch_cache import warm
from kinograd.types import KinogradError
from kinograd.video.clip_store import ClipStore
from kinograd.video.decode import decode
from kinograd.video.faults import ClipError, ClipFault

N = 6


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about within 20 s")


def worker_of(store: ClipStore) -> int:
    (worker,) = store._pool.workers.values()
    return worker.pid


def test_two_names_of_one_film_are_one_task(store, clips, video, tmp_path):
    """Two tasks of one key would get in each other's way when a worker dies: one would wait
    for ever."""
    name = clips.make("named.mp4", 16)
    shutil.copy2(clips.root / name, clips.root / "renamed.mp4")
    one, two = video(name), video("renamed.mp4")
    s = store(workers=1, cache_dir=str(tmp_path))
    first = s._submit(one, urgent=False)
    until(lambda: not s._pool._queue)  # taken, by a worker that is only starting
    assert s._submit(two, urgent=True) is first
    assert np.array_equal(s.get(two).frames, s.get(one).frames)
    assert s.counts["decoded"] == 1


def test_what_was_waited_for_does_not_count_as_decoded_ahead(store, media):
    """Else the room for decoding ahead would shrink with every clip that was awaited."""
    s = store()
    for m in media:
        s.get(m)
        assert not s._memory._unclaimed


def test_threads_get_the_clip_they_asked_for(store, media, clips):
    """Many at once, all from a cold store."""
    s = store(workers=2)
    want = {m: decode(m, s.spec, s._config, clips.root).frames for m in media}
    asked = media * 3
    got: list = [None] * len(asked)

    def ask(i: int) -> None:
        got[i] = s.get(asked[i]).frames

    threads = [threading.Thread(target=ask, args=[i]) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(g, want[m]) for g, m in zip(got, asked, strict=True))
    assert s.counts["decoded"] == N


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("where", ["memory", "disk", "jpeg"])
def test_every_clip_is_decoded_once(store, media, clips, tmp_path, workers, where):
    changes = {} if where == "memory" else {"cache_dir": str(tmp_path)}
    s = store(workers=workers, cache_frames="jpeg" if where == "jpeg" else "raw", **changes)
    for _ in range(3):
        s.prefetch(media)
        for m in media:
            got = s.get(m)
            want = decode(m, s.spec, s._config, clips.root)
            near = np.abs(got.frames.astype(int) - want.frames).mean()
            assert near == 0 if where != "jpeg" else near < 3
            assert np.array_equal(got.timestamps, want.timestamps)
            assert (got.fps, got.native_fps, got.duration) == (
                want.fps,
                want.native_fps,
                want.duration,
            )
    assert s.counts["decoded"] == N
    assert s.counts["failed"] == 0


def test_the_patch_grid_of_the_model_reaches_the_clip(clips, make_config, media):
    with ClipStore(make_config(), clips.root, 32) as s:
        assert s.get(media[0]).frames.shape[2:] == (64, 128)


def test_a_disk_cache_outlasts_the_store(store, media, tmp_path):
    for decoded in (N, 0):
        s = store(cache_dir=str(tmp_path))
        for m in media:
            s.get(m)
        assert s.counts["decoded"] == decoded
        s.close()


def test_a_damaged_cache_file_is_decoded_again(store, media, tmp_path):
    s = store(cache_dir=str(tmp_path))
    want = s.get(media[0]).frames
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-500] ^= 255
    file.write_bytes(data)
    assert np.array_equal(s.get(media[0]).frames, want)
    assert s.counts["decoded"] == 2


def test_a_cache_smaller_than_a_clip_still_serves(store, media, tmp_path):
    s = store(cache_dir=str(tmp_path), cache_gb=1e-6)
    for m in media:
        assert s.get(m).frames.any()


def test_stores_that_share_a_folder_share_the_work(store, media, tmp_path):
    stores = [store(workers=w, cache_dir=str(tmp_path)) for w in (0, 1, 2)]
    barrier = threading.Barrier(len(stores))

    def read_all(s: ClipStore) -> None:
        barrier.wait()
        s.prefetch(media)
        for m in media:
            s.get(m)

    threads = [threading.Thread(target=read_all, args=[s]) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(s.counts["decoded"] for s in stores) == N
    assert not list(tmp_path.rglob("*.claim"))


def test_memory_is_bounded_and_decoding_ahead_pauses(store, media):
    clip_bytes = 8 * 3 * 56 * 140
    s = store(memory_gb=2.5 * clip_bytes / 1e9)
    s.prefetch(media)
    until(lambda: s.counts["decoded"] >= 2)
    time.sleep(0.1)
    assert s.counts["decoded"] < N  # the rest waits for room
    for m in media:
        s.get(m)
        assert s._memory._bytes <= 2.5 * clip_bytes
    assert s.counts["decoded"] == N


def test_faults_are_found_ahead_and_told_at_every_call(store, media, video):
    s = store()
    missing = video("missing.mp4")
    s.prefetch([missing, *media])
    for _ in range(2):
        with pytest.raises(ClipError) as caught:
            s.get(missing)
        assert caught.value.reason is ClipFault.MISSING
    assert s.get(media[0]).frames.any()
    assert s.counts["failed"] == 1


def test_waiting_is_measured_and_taken(store, media):
    s = store(workers=0)
    s.get(media[0])
    waited = s.wait_s
    assert waited > 0
    assert s.take_wait_s() == waited
    assert s.take_wait_s() == 0.0


def test_prefetching_returns_at_once_and_asks_for_nothing_twice(store, media):
    s = store()
    for _ in range(3):
        s.prefetch(media)
    for m in media:
        s.get(m)
    assert s.counts["decoded"] == N


# ----------------------------------------------------------------------- workers


def test_workers_load_no_torch(store, media):
    s = store()
    s.get(media[0])
    loaded = Path(f"/proc/{worker_of(s)}/maps").read_text()
    assert "libav" in loaded
    assert "libtorch" not in loaded


def test_a_decoder_that_hangs_is_ended(store, media):
    s = store(timeout_s=0.5)
    s.get(media[0])
    first = worker_of(s)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(ClipError) as caught:
        s.get(media[1])
    assert caught.value.reason is ClipFault.TIMEOUT
    assert "video.timeout_s" in caught.value.detail
    assert s.get(media[2]).frames.any()
    assert worker_of(s) != first


@pytest.mark.parametrize(
    ("signals", "lost"),
    [
        ([signal.SIGSEGV, signal.SIGCONT], [ClipFault.CRASHED]),  # a fault in a codec
        ([signal.SIGKILL], []),  # the kernel short of memory, or an administrator
    ],
)
def test_a_decoder_that_dies_costs_at_most_one_clip(store, media, signals, lost):
    s = store()
    s.get(media[0])
    s._pool._job_s = 1e-4  # as after many quick clips: jobs go in batches
    os.kill(worker_of(s), signal.SIGSTOP)
    with s._pool._condition:  # so that they are all there when the batch is made up
        s.prefetch(media[1:])
    until(lambda: not s._pool._queue)
    worker = worker_of(s)
    for each in signals:
        os.kill(worker, each)
    faults = []
    for m in media[1:]:
        try:
            s.get(m)
        except ClipError as error:
            faults.append(error.reason)
    assert faults == lost


@pytest.mark.parametrize("executable", ["/bin/false", "/no/such/python"])
def test_a_worker_that_cannot_start_is_an_error_not_a_hang(store, media, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(KinogradError, match="video.workers: 0"):
        store().get(media[0])


def test_closing_ends_the_workers(store, media):
    s = store(workers=2)
    s.prefetch(media)
    s.get(media[0])
    pids = [w.pid for w in s._pool.workers.values()]
    assert pids
    s.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


SCRIPT = """
import os, sys
from kinograd.config.video import VideoConfig
from kinograd.types import Cut, Media, MediaType
from kinograd.video.clip_store import ClipStore
config = VideoConfig(nframes=8, min_pixels=1, max_pixels=1 << 20, workers=1)
store = ClipStore(config, sys.argv[1], 28)  # no main guard: workers do not import this file
store.get(Media(MediaType.VIDEO, Cut.whole(sys.argv[2])))
print(*(w.pid for w in store._pool.workers.values()), flush=True)
os.kill(os.getpid(), 9)
"""


def test_workers_die_with_their_parent(clips, media, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    name = media[0].cut.paths[0]
    done = subprocess.run(
        [sys.executable, str(script), str(clips.root), name],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    def gone() -> bool:
        try:
            return Path(f"/proc/{int(done.stdout)}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    until(gone)


# ------------------------------------------------------------------------ warming


@pytest.mark.parametrize("workers", [0, 2])
def test_warming_fills_the_cache_and_counts_what_failed(
    clips, make_config, media, video, tmp_path, workers
):
    config = make_config(workers=workers, cache_dir=str(tmp_path))
    steps = []
    everything = [*media, video("missing.mp4"), *media]
    report = warm(config, clips.root, 28, everything, advance=lambda: steps.append(1))
    assert (report.clips, report.decoded, len(steps)) == (N, N, N + 1)
    assert report.by_fault == {ClipFault.MISSING: 1}
    assert report.failed[0].path == "missing.mp4"
    again = warm(config, clips.root, 28, media)
    assert (again.clips, again.decoded, again.failed) == (N, 0, ())
    assert len(list(tmp_path.rglob("*.clip.safetensors"))) == N
