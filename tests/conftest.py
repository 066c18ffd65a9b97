"""Shared fixtures: offline by construction, golden files, and skips that say why.

A skip ends its reason with a tag. ``[hardware]`` (no such device) and ``[media]`` (the
sample clips are not there) cannot be helped; with ``KINOGRAD_STRICT=1``, as in
continuous integration, every other skip is a failure.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before torch is imported: golden losses must not depend on the number of cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

hypothesis.settings.register_profile("kinograd", deadline=None, derandomize=True)
hypothesis.settings.load_profile("kinograd")

ROOT = Path(__file__).resolve().parent.parent
STRICT = os.environ.get("KINOGRAD_STRICT") == "1"
UNAVOIDABLE = ("[hardware]", "[media]")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew; review the diff"
    )


# ---------------------------------------------------------------------- skips


def _module(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "gpu": (_cuda, "no CUDA device [hardware]"),
    "vllm": (_module("vllm"), "vLLM is not installed: scripts/install_vllm_cpu.sh"),
    "ray": (_module("ray"), "Ray is not installed: pip install 'kinograd[ray]'"),
    "browser": (_chromium, "Chromium is not installed: apt-get install chromium"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (present, reason) in NEEDS.items():
        if item.get_closest_marker(marker) and not present():
            pytest.skip(reason)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn an avoidable skip into a failure."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.endswith(UNAVOIDABLE):
        report.outcome = "failed"
        report.longrepr = f"KINOGRAD_STRICT: avoidable skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if STRICT:
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if STRICT:
        _forbid_skip(report)
    return report


# -------------------------------------------------------------------- offline


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Generator[None]:
    """Only loopback and Unix sockets: a test that would download fails here, everywhere."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def local(sock: socket.socket, address: Any) -> None:
        inet = sock.family in (socket.AF_INET, socket.AF_INET6)
        if inet and address[0] not in ("localhost", "::1") and not address[0].startswith("127."):
            raise RuntimeError(f"a test tried to reach the network: {address!r}")

    def guarded(sock: socket.socket, address: Any) -> None:
        local(sock, address)
        connect(sock, address)

    def guarded_ex(sock: socket.socket, address: Any) -> int:
        local(sock, address)
        return connect_ex(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setattr(socket.socket, "connect_ex", guarded_ex)
        yield


# ------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    """Folder of real clips: ``$KINOGRAD_TEST_VIDEOS``, or shared/videos beside the checkout."""
    given = os.environ.get("KINOGRAD_TEST_VIDEOS")
    folder = Path(given) if given else ROOT.parent / "shared" / "videos"
    if not folder.is_dir():
        if given:
            pytest.fail(f"KINOGRAD_TEST_VIDEOS={given} is not a folder")
        pytest.skip("no sample clips; set KINOGRAD_TEST_VIDEOS to a folder of them [media]")
    return folder


def _close(want: Any, got: Any, rtol: float, atol: float) -> bool:
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(_close(want[k], got[k], rtol, atol) for k in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(
            _close(w, g, rtol, atol) for w, g in zip(want, got, strict=True)
        )
    if isinstance(want, float) and isinstance(got, float):
        both_nan = math.isnan(want) and math.isnan(got)
        return both_nan or math.isclose(want, got, rel_tol=rtol, abs_tol=atol)
    return type(want) is type(got) and want == got


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``golden("area/name.json", value, rtol=0.0, atol=0.0)`` compares with tests/golden.

    A ``str`` is compared as text, anything else as JSON (floats within the tolerances).
    ``pytest --update-golden`` writes the files anew; the commit says why they changed.
    """

    def check(name: str, value: Any, *, rtol: float = 0.0, atol: float = 0.0) -> None:
        path = ROOT / "tests" / "golden" / name
        is_text = isinstance(value, str)
        text = value if is_text else json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"no golden file {name}; write it with pytest --update-golden"
        kept = path.read_text(encoding="utf-8")
        if is_text:
            assert text == kept
        elif not _close(json.loads(kept), json.loads(text), rtol, atol):
            assert json.loads(text) == json.loads(kept)

    return check


# -------------------------------------------------------- a world and a model

FIRST_FAMILIES = ["order", "first", "turn", "swap", "colour"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media root with 24 clips in train.jsonl and 10 in held_out.jsonl."""
    from kinograd.config.synthetic import SyntheticConfig
    from kinograd.synthetic.build import build

    folder = tmp_path_factory.mktemp("synthetic") / "world"
    splits = {"train": 24, "held_out": 10}
    build(SyntheticConfig(families=FIRST_FAMILIES, splits=splits, seed=3, workers=1), folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 0.8M-parameter Qwen2.5-VL, untrained."""
    from kinograd.synthetic.tiny_model import make_tiny

    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder, "0.8m", seed=1)
    return folder


_STAGES: dict[str, dict[str, Any]] = {
    "sft": {"sft": {"steps": 3, "batch_size": 4}},
    "rl": {
        "rl": {"steps": 2, "prompts_per_step": 3, "group_size": 4},
        "algo": {"type": "grpo"},
        "sampling": {"max_new_tokens": 10},
    },
    "eval": {"eval": {"sampling": {"max_new_tokens": 10, "temperature": 0.0}}},
}


@pytest.fixture
def recipe_tree(world: Path, tiny: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``recipe_tree("sft", {...})``: a small recipe on world and tiny model, as a tree."""
    from kinograd.config.load import merge

    def make(method: str, *over: dict[str, Any]) -> dict[str, Any]:
        tree: dict[str, Any] = {
            "method": method,
            "run": {"dir": str(tmp_path / method), "save_every": 1, "log_rollouts_every": 1},
            "model": {"path": str(tiny), "device": "cpu"},
            "data": {"media_root": str(world), "train": [str(world / "train.jsonl")]},
            "video": {"nframes": 8, "min_pixels": 784, "max_pixels": 3136, "workers": 0},
            "prompt": {"template": "plain"},
        } | _STAGES[method]
        if method == "eval":
            tree["data"] = {"media_root": str(world)}
            tree["eval"] = tree["eval"] | {"data": [str(world / "held_out.jsonl")]}
        else:
            tree["optim"] = {"lr": 1e-3}
        for layer in over:
            tree = merge(tree, layer)
        return tree

    return make


@pytest.fixture
def recipe(recipe_tree: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """The same, parsed."""
    from kinograd.config.load import parse_recipe

    return lambda method, *over: parse_recipe(recipe_tree(method, *over))
