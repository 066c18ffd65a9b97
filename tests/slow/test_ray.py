"""The mapper on Ray with two workers: what it gives is what one process gives."""

from __future__ import annotations

import json
import operator
import signal
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kinograd.cli import build_app
from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.build import build
from kinograd.types import KinogradError
from kinograd.workers.row_map import map_rows

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Generator[None]:
    """One Ray of two CPUs for all tests here; verbs join what runs already."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'kinograd[ray]' [dependency]")
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build(SyntheticConfig(families=["order", "mix_vid"], splits={"rows": 24}, workers=1), folder)
    rows = (folder / "rows.jsonl").read_text().splitlines()
    missing = json.loads(rows[5]) | {"media": [{"type": "video", "path": "none.mp4"}]}
    rows[5] = json.dumps(missing)
    (folder / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return folder


def run(*arguments: object) -> tuple[int, str]:
    line = ["data", *map(str, arguments)]
    result = CliRunner().invoke(build_app(line), line)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_results_come_in_order() -> None:
    triple = partial(partial, operator.mul, 3)
    out = map_rows(triple, range(100), workers=2, backend="ray")
    assert list(out) == [3 * i for i in range(100)]


def test_a_dying_actor_names_its_row() -> None:
    kill = partial(partial, signal.raise_signal)
    with pytest.raises(KinogradError, match="row 3, 9: the worker died"):
        list(map_rows(kill, [0, 0, 9, 0], workers=2, backend="ray"))


def test_a_failing_function_names_its_row() -> None:
    root = partial(partial, operator.truediv, 1)
    with pytest.raises(KinogradError, match="row 3, 0: ZeroDivisionError"):
        list(map_rows(root, [1, 1, 0], workers=2, backend="ray"))


def test_validate_gives_the_same_files(world: Path, tmp_path: Path) -> None:
    arguments = ("validate", world / "rows.jsonl", f"media_root={world}", "decode=true")
    arguments += ("video.nframes=4", "workers=2")
    for backend in ("local", "ray"):
        assert run(*arguments, f"backend={backend}", "--out", tmp_path / backend)[0] == 1
    for name in ("valid.jsonl", "quarantine.jsonl", "report.json"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_the_cache_is_warmed(world: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"method: sft\nrun: {{dir: {tmp_path}/run}}\nmodel: {{path: {tmp_path}/model}}\n"
        f"data: {{train: [{world}/rows.jsonl], media_root: {world}}}\n"
        f"video: {{nframes: 4, cache_dir: {tmp_path}/cache}}\nsft: {{steps: 1}}\n"
    )
    with pytest.raises(KinogradError, match="1 clips cannot be decoded"):
        run("cache", "warm", recipe, "video.workers=2", "backend=ray")
    _, shown = run("cache", "stats", recipe)
    assert "23 clips" in shown
    for backend in ("ray", "local"):  # nothing is decoded twice, wherever it was decoded
        line = ["data", "cache", "warm", str(recipe), f"backend={backend}"]
        result = CliRunner().invoke(build_app(line), line)
        assert "23 clips cached, 0 of them new" in result.output
