"""Many rows through one function: order, bounds, and workers that die."""

from __future__ import annotations

import operator
import signal
import time
from functools import partial
from itertools import count, islice

import pytest

from kinograd.types import KinogradError, UsageError
from kinograd.workers.row_map import map_rows

TRIPLE = partial(partial, operator.mul, 3)  # a factory of "times three" that any process knows
SLEEP = partial(partial, time.sleep)
RAISE_SIGNAL = partial(partial, signal.raise_signal)  # 0 does nothing, 9 kills
ROOT = partial(partial, operator.truediv, 1)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order(workers: int) -> None:
    out = list(map_rows(TRIPLE, range(150), workers=workers))
    assert out == [3 * i for i in range(150)]


def test_slow_rows_do_not_change_the_order() -> None:
    items = [0.2, 0.0, 0.0, 0.1, 0.0]
    assert list(map_rows(SLEEP, items, workers=2)) == [None] * 5


def test_no_rows_give_none() -> None:
    assert list(map_rows(TRIPLE, [], workers=2)) == []


def test_items_are_read_only_as_far_as_needed() -> None:
    items = count()
    results = map_rows(TRIPLE, items, workers=2)
    assert list(islice(results, 5)) == [0, 3, 6, 9, 12]
    assert next(items) <= 5 + 2 * 32
    results.close()  # type: ignore[attr-defined]  # a generator; ends the workers


def test_a_dying_worker_names_the_row() -> None:
    with pytest.raises(KinogradError, match=r"row 3, 9: the worker died \(signal 9\)"):
        list(map_rows(RAISE_SIGNAL, [0, 0, 9, 0], workers=2))


def test_a_failing_function_names_the_row(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KinogradError, match="row 18, 0: ZeroDivisionError"):
        list(map_rows(ROOT, [*([1] * 17), 0], workers=2))
    assert "Traceback" in capfd.readouterr().err


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(UsageError, match="there are local and ray"):
        list(map_rows(TRIPLE, [1], backend="slurm"))
