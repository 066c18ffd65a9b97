"""The GPU benchmark, run without a GPU at its smallest."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
SMALLEST = ["--video-tokens", "8", "--completion-tokens", "3", "--group", "2", "--longest", "16"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_every_figure_is_there_and_both_ways_agree(script, tmp_path: Path) -> None:
    file = tmp_path / "results" / "gpu_learner.json"
    arguments = ["--device", "cpu", "--size", "tiny", *SMALLEST, "--json", str(file)]
    script("learner").main(arguments)
    result = json.loads(file.read_text())
    assert (result["device"], result["torch"]) == ("cpu", torch.__version__)
    ratios = result["ratios"]["tiny"]
    assert ratios.pop("memory_fraction") is None  # CUDA's allocator is not there to ask
    assert set(ratios) == {
        "policy_ref_speedup",
        "flop_ratio",
        "share_of_flop_ratio",
        "kernel_speedup",
        "longest_over_rows_1",
        "longest_over_rows_all",
    }
    assert all(math.isfinite(x) and x > 0 for x in ratios.values())
    figures = result["sizes"]["tiny"]
    assert figures["training"] == "all weights"
    rows, *others = figures["step"].values()
    for other in others:
        assert other["loss"] == pytest.approx(rows["loss"], rel=1e-3)
        assert other["gradient_norm"] == pytest.approx(rows["gradient_norm"], rel=1e-3)
    assert set(figures["longest_clip"].values()) == {16}
    kernels = figures["kernels"]
    assert kernels.pop("agrees")
    assert all(gap < 1e-5 for case in kernels.values() for gap in case["gap"].values())
    assert figures["rollout"]["tokens_s"] > 0


def test_operations_are_those_of_the_flop_model(script) -> None:
    module = script("qwen_shapes")

    def ratio(size: str, v: int, c: int, *, lora: bool = False) -> float:
        rows, ours = (
            module.step_flops(module.SHAPES[size], v, c, 8, lora=lora, shared=shared)
            for shared in (False, True)
        )
        return rows / ours

    # as worked out for these sizes with all weights trained
    assert ratio("3b", 1024, 512) == pytest.approx(3.1, abs=0.06)
    assert ratio("3b", 4096, 512) == pytest.approx(5.2, abs=0.06)
    assert ratio("7b", 4096, 512) == pytest.approx(4.9, abs=0.06)
    # a frozen tower runs once for reference and policy, where rows run it twice each
    assert ratio("3b", 4096, 512, lora=True) > ratio("3b", 4096, 512)


@pytest.mark.parametrize(("size", "billions"), [("3b", 3.75), ("7b", 8.29)])
def test_shapes_have_as_many_parameters_as_the_published_models(script, size, billions) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    module = script("qwen_shapes")
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(module.config_of(module.SHAPES[size]))
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, abs=0.01)


def test_longest_doubles_then_halves(script) -> None:
    longest = script("measuring").longest
    tried: list[int] = []

    def works(n: int) -> bool:
        tried.append(n)
        return n <= 1000

    assert 970 <= longest(works, 8, 1 << 20) <= 1000
    assert len(tried) < 20
    assert longest(works, 8, 64) == 64
    assert longest(lambda n: False, 8, 64) == 0


def test_memory_that_ends_is_no_crash(script) -> None:
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert not script("measuring").fits(work, torch.device("cpu"))


def test_without_cuda_it_says_how_to_run(
    script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        script("learner").main([])
    assert "--device cpu --size tiny" in capsys.readouterr().err
