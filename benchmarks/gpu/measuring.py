"""Time, memory, and what fits, on a GPU or without one."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def measure(
    work: Callable[[], Any], device: torch.device, before: Callable[[], Any] = gc.collect, *, n=3
) -> tuple[float, float | None]:
    """Median seconds of n calls after a warm-up, and GB of CUDA memory at their peak above
    what lay there before; None on a CPU."""
    times, peak = [], None
    for i in range(n + 1):
        before()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            lay = torch.cuda.memory_allocated(device)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            torch.cuda.synchronize(device)
            seconds = start.elapsed_time(end) / 1000
            peak = (torch.cuda.max_memory_allocated(device) - lay) / 1e9
        else:
            begun = time.perf_counter()
            work()
            seconds = time.perf_counter() - begun
        if i:
            times.append(seconds)
    return statistics.median(times), peak


def fits(work: Callable[[], Any], device: torch.device) -> bool:
    """Whether ``work`` ends before the device's memory does."""
    try:
        work()
        return True
    except torch.OutOfMemoryError:
        pass  # what the traceback held is free only after this clause
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return False


def longest(works: Callable[[int], bool], start: int, limit: int) -> int:
    """The largest n found that works, within 3 %, by doubling and halving; 0 if none does."""
    good, bad = 0, None
    n = start
    while bad is None and n <= limit:
        if works(n):
            good, n = n, 2 * n
        else:
            bad = n
    while bad is not None and bad - good > max(1, 0.03 * good):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if works(middle) else (good, middle)
    return good


def rounded(value: Any) -> Any:
    """Floats to four digits, in records within records."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
