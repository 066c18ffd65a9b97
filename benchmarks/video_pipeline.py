"""What it costs to have a clip, against the floor of decoding and against the usual path.

    python benchmarks/video_pipeline.py [--json out.json] [--quick]

On the same files, one thread each (decord takes all cores, as it does by default), best of
several runs, page cache warm:

    floor         PyAV decodes every frame of the file and converts none
    sequential    the same, and scales the 16 sampled frames
    cold          kinograd: file -> Clip -> patches
    cached        kinograd: disk cache -> Clip -> patches
    qwen_vl_utils qwen-vl-utils 0.0.14 with decord, then the Hugging Face processor

Each gives 16 frames under Video-R1's training contract (224 x 420 pixels here). The films
are rendered once into build/: 30 s of 640x360 H.264 at about 1.5 Mbit/s with a keyframe every 60 or
250 frames, and five minutes of them. The real clips of the tests are measured too where
they are found.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import torch
import video_peers

from kinograd.config.video import VideoConfig
from kinograd.curate.prefetch_cache import warm
from kinograd.types import Cut, Media, MediaType, Span
from kinograd.video import index_cache
from kinograd.video.clip_store import ClipStore
from kinograd.video.decode import decode
from kinograd.video.patches import Geometry, patchify
from kinograd.video.sample import sample

ROOT = Path(__file__).resolve().parent.parent
FILMS = ROOT / "build" / "video-films"
CONFIG = VideoConfig(preset="video_r1_train", workers=0)
GEOMETRY = Geometry(
    14, 2, 2, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)
GOALS = {  # name: (goal, whether the value should stay below it)
    "cold_vs_floor_gop250": (1.1, True),
    "cold_vs_floor_gop60": (0.7, True),
    "long_speedup_vs_sequential": (10.0, False),
    "long_speedup_vs_qwen_vl_utils": (1.0, False),
    "cached_speedup": (25.0, False),
    "cached_ms": (25.0, True),
    "workers_2_speedup": (1.7, False),
}


# ------------------------------------------------------------------------- films


def render_films() -> dict[str, Path]:
    """The benchmark's films by name; the long ones repeat the short ones ten times."""
    films: dict[str, Path] = {}
    FILMS.mkdir(parents=True, exist_ok=True)
    for gop in (60, 250):
        short, long = FILMS / f"30s_gop{gop}.mp4", FILMS / f"300s_gop{gop}.mp4"
        if not short.exists():
            _encode(short, gop)
        if not long.exists():
            _repeat(short, long, 10)
        films |= {short.stem: short, long.stem: long}
    return films


def _encode(out: Path, gop: int) -> None:
    """900 frames: a camera that moves over a textured plane, two objects, film grain."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 216, (90, 130, 3)), np.ones((8, 8, 1)))
    grain = rng.normal(0, 4, (16, 360, 640, 1))
    partial = out.with_suffix(".partial.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(gop), "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(900):
            x, y = int(190 + 180 * np.sin(i / 90)), int(170 + 160 * np.cos(i / 70))
            frame = texture[y : y + 360, x : x + 640] + grain[i % 16]
            frame[100:160, (i * 3) % 580 : (i * 3) % 580 + 60] = (230, 40, 40)
            frame[(i * 2) % 300 : (i * 2) % 300 + 60, 400:460] = (40, 60, 220)
            picture = np.clip(frame, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    partial.rename(out)


def _repeat(source: Path, out: Path, times: int) -> None:
    """The same packets again and again: closed groups of pictures may be joined."""
    partial = out.with_suffix(".partial.mp4")
    with av.open(str(source)) as reading, av.open(str(partial), "w") as container:
        stream = reading.streams.video[0]
        target = container.add_stream_from_template(stream)
        for turn in range(times):
            reading.seek(0)
            for packet in reading.demux(stream):
                if packet.size:
                    packet.pts += turn * stream.duration
                    packet.dts += turn * stream.duration
                    packet.stream = target
                    container.mux(packet)
    partial.rename(out)


# ---------------------------------------------------------------------- contenders


def floor(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for _ in container.decode(stream):
            pass


def sequential(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        frames, rate = stream.frames, float(stream.average_rate)
        wanted = set(sample(frames / rate, rate, frames, CONFIG.spec())[0].tolist())
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frame.to_ndarray(width=420, height=224, format="rgb24", interpolation="BICUBIC")


def media_of(path: Path) -> Media:
    return Media(MediaType.VIDEO, Cut.whole(path.name))


def cold(path: Path) -> None:
    index_cache._recent.clear()  # a large file's map is remembered within a process
    clip = decode(media_of(path), CONFIG.spec(), CONFIG, path.parent)
    patchify(clip.frames, GEOMETRY)


def cached_by(folder: str) -> Callable[[Path], None]:
    def cached(path: Path) -> None:
        config = CONFIG.model_copy(update={"cache_dir": folder})
        with ClipStore(config, path.parent, 28) as store:
            patchify(store.get(media_of(path)).frames, GEOMETRY)

    return cached


def best_ms(contenders: dict[str, Callable[[Path], object]], path: Path, runs: int) -> dict:
    """Shortest milliseconds of each contender, taking turns."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(runs):
        for name, function in contenders.items():
            began = time.perf_counter()
            function(path)
            best[name] = min(best[name], (time.perf_counter() - began) * 1e3)
    return {name: round(value, 2) for name, value in best.items()}


# -------------------------------------------------------------------- whole system


def workers_speedup(path: Path, runs: int) -> tuple[float, dict[str, float]]:
    """Clips per second with two decoder processes over one; both warmed up."""
    seconds: dict[str, float] = {}
    pieces = _parts(path, 12)
    for workers in (1, 2) * runs:
        config = CONFIG.model_copy(update={"workers": workers})
        with ClipStore(config, path.parent, 28) as store:
            for part in (pieces[:2], pieces[2:]):  # the first starts the processes
                began = time.perf_counter()
                store.prefetch(part)
                for piece in part:
                    store.get(piece)
                took = time.perf_counter() - began
        key = str(workers)
        seconds[key] = round(min(seconds.get(key, float("inf")), took), 3)
    return seconds["1"] / seconds["2"], seconds


def _parts(path: Path, n: int) -> list[Media]:
    """Distinct media of the same cost: the whole film, each starting a little later."""
    return [Media(MediaType.VIDEO, Cut((Span(path.name, 0.001 * i),))) for i in range(n)]


def warm_memory(path: Path) -> dict[str, float]:
    """Peak resident MiB of warming N clips, parent and decoders, each in a fresh process."""
    out = {}
    for n in (8, 64):
        done = subprocess.run(
            [sys.executable, __file__, "--warm", str(n), str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        out[str(n)] = float(done.stdout)
    return out


def warm_here(n: int, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = CONFIG.model_copy(update={"cache_dir": folder, "workers": 1})
        report = warm(config, path.parent, 28, _parts(path, n))
        assert report.decoded == n, report
    peak = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(round(peak / 1024, 1))


def resize_difference(paths: list[Path]) -> dict[str, float]:
    """Mean absolute difference of our resizing and the processors', of 255."""
    theirs = CONFIG.model_copy(update={"resize": "torch"})
    out = {}
    for path in paths:
        ours, want = (
            decode(media_of(path), c.spec(), c, path.parent).frames.astype(int)
            for c in (CONFIG, theirs)
        )
        out[path.name] = round(float(np.abs(ours - want).mean()), 3)
    return out


# -------------------------------------------------------------------------- report


def real_clips() -> list[Path]:
    given = os.environ.get("KINOGRAD_TEST_VIDEOS")
    folder = Path(given) if given else ROOT.parent / "shared" / "videos"
    names = ("video1.mp4", "nasa_13013.mp4", "flipping_a_pancake.mkv", "av1_video.mkv")
    return [folder / n for n in names if (folder / n).exists()]


def measure(quick: bool) -> dict:
    runs = 2 if quick else 5
    load_before = os.getloadavg()
    films, real = render_films(), real_clips()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in (*films.values(), *real):
            long = path.stem.startswith("300s")
            contenders = {"floor": floor, "cold": cold, "cached": cached_by(folder)}
            if path in films.values():
                contenders["sequential"] = sequential
            cached_by(folder)(path)
            rows[path.name] = best_ms(contenders, path, max(1, runs // 2) if long else runs)
    peers = video_peers.milliseconds(2 if quick else 3, [str(p) for p in (*films.values(), *real)])
    if isinstance(peers, dict):
        for path, value in peers.items():
            shown = value if isinstance(value, str) else round(value, 2)
            rows[Path(path).name]["qwen_vl_utils"] = shown
    speedup, worker_seconds = workers_speedup(films["30s_gop60"], 1 if quick else 3)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "load": load_note(load_before, os.getloadavg()),
        "versions": {p: version(p) for p in ("av", "torch", "transformers", "numpy")},
        "milliseconds": rows,
        "peer": "measured" if isinstance(peers, dict) else peers,
        "megabytes_of_films": {p.name: round(p.stat().st_size / 1e6, 2) for p in films.values()},
        "worker_seconds": worker_seconds,
        "warm_peak_mib": warm_memory(films["30s_gop60"]),
        "resize_difference_of_255": resize_difference([*films.values(), *real]),
        "ratios": ratios(rows, speedup),
    }


def load_note(before: tuple[float, ...], after: tuple[float, ...]) -> dict:
    """Load averages; on a busy machine the two-worker ratio says little."""
    busy = before[0] > 1.0
    note = "busy with other work: times are upper bounds" if busy else "quiet"
    return {"before": before, "after": after, "note": note}


def ratios(rows: dict[str, dict[str, float]], workers: float) -> dict[str, float | None]:
    short250, short60, long = (rows[f"{n}.mp4"] for n in ("30s_gop250", "30s_gop60", "300s_gop60"))
    peer = long.get("qwen_vl_utils")
    values = {
        "cold_vs_floor_gop250": short250["cold"] / short250["floor"],
        "cold_vs_floor_gop60": short60["cold"] / short60["floor"],
        "long_speedup_vs_sequential": long["sequential"] / long["cold"],
        "long_speedup_vs_qwen_vl_utils": peer and peer / long["cold"],
        "cached_speedup": short250["cold"] / short250["cached"],
        "cached_ms": short250["cached"],
        "workers_2_speedup": workers,
    }
    return {name: value and round(value, 3) for name, value in values.items()}


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores, no GPU used, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/video_pipeline.json"
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a first look")
    parser.add_argument("--warm", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.warm:
        warm_here(int(options.warm[0]), Path(options.warm[1]))
        return 0
    result = measure(options.quick)
    met = {
        name: value is not None and (value <= goal if below else value >= goal)
        for name, (goal, below) in GOALS.items()
        for value in [result["ratios"][name]]
    }
    result["goals_met"] = met
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, (goal, below) in GOALS.items():
        sign = "at most" if below else "at least"
        mark = "met" if met[name] else "MISSED"
        print(f"{name:32}{result['ratios'][name]!s:>9}   {sign} {goal}   {mark}")
    return int(not all(met.values()))


if __name__ == "__main__":
    sys.exit(main())
