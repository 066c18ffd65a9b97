"""A cache that cannot be written, and a server that never finishes, cost time but no run."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kinograd.types import KinogradError
from kinograd.video.faults import ClipError, ClipFault


def spoil(folder: Path, how: str) -> None:
    """Make a cache folder unusable as a user, or a disk, would."""
    if how == "vanished":
        shutil.rmtree(folder)
    else:  # no folder: to a process of root, what a read-only or foreign folder is to others
        shutil.rmtree(folder)
        folder.write_text("in the way")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("how", ["vanished", "no folder"])
def test_a_cache_that_fails_in_mid_run_costs_no_clip(store, media, tmp_path, workers, how, caplog):
    s = store(workers=workers, cache_dir=str(tmp_path / "cache"))
    s.get(media[0])
    spoil(tmp_path / "cache", how)
    s.prefetch(media)
    for m in media:
        assert s.get(m).frames.any()
    assert s.counts["failed"] == 0
    told = [r for r in caplog.records if "video.cache_dir" in r.getMessage()]
    assert len(told) == (how == "no folder")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cache_that_never_works_costs_no_clip_but_cannot_be_warmed(store, media, workers):
    s = store(workers=workers, cache_dir="/proc/no/such/place")
    for m in media[:3]:
        assert s.get(m).frames.any()
    with pytest.raises(KinogradError, match="does not keep clips"):
        s.ensure(media[3])


def test_a_full_disk_costs_no_clip(store, media, tmp_path):
    """The real error of a real write: a limit on the size of files."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from kinograd.config.video import VideoConfig\n"
        "from kinograd.types import Cut, Media, MediaType\n"
        "from kinograd.video.clip_store import ClipStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "config = VideoConfig(nframes=8, min_pixels=1, max_pixels=1 << 20,\n"
        "    workers=int(sys.argv[4]), cache_dir=sys.argv[3])\n"
        "with ClipStore(config, sys.argv[1], 28) as store:\n"
        "    assert store.get(Media(MediaType.VIDEO, Cut.whole(sys.argv[2]))).frames.any()\n"
        "    assert store.counts['failed'] == 0\n"
    )
    root, name = store()._root, media[0].cut.paths[0]
    for workers in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(root), name, str(tmp_path), workers],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "video.cache_dir cannot be used" in done.stderr
    assert not list(tmp_path.rglob("*.partial"))


def test_a_slow_server_is_bounded_in_a_worker(store, video, tmp_path):
    """Bytes keep coming, one at a time: each read is in time, and the clip never is."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        s = store(workers=1, allow_urls=True, cache_dir=str(tmp_path), timeout_s=1.0)
        medium = video(f"http://127.0.0.1:{server.server_port}/a.mp4")
        began = time.monotonic()
        s.prefetch([medium])
        assert time.monotonic() - began < 0.5  # this process asks no server
        with pytest.raises(ClipError) as caught:
            s.get(medium)
        assert caught.value.reason is ClipFault.TIMEOUT
        assert time.monotonic() - began < 10.0
        server.shutdown()
