from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from kinograd.grading import symbolic
from kinograd.grading.numeric import same_number
from kinograd.grading.read_quantity import read_quantity
from kinograd.workers.process import Process


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("\\frac{\\sqrt{2}}{2}", 2**0.5 / 2),
        ("sqrt(2)/2", 2**0.5 / 2),
        ("√2", 2**0.5),
        ("π/4", 0.7853981633974483),
        ("2\\pi", 6.283185307179586),
        ("3 \\times 10^{5}", 3e5),
        ("2*3", 6.0),
        ("(1+2)/4", 0.75),
        ("\\sqrt{-1}", None),
        ("1/0", None),
        ("2^{}", None),
    ],
)
def test_values_of_formulas(formula: str, value: float | None) -> None:
    assert symbolic.value(formula) == (None if value is None else pytest.approx(value, rel=1e-12))


@pytest.mark.parametrize(
    "formula",
    [
        "9**9**9", "9^{9^9}", "2^99999", "2^{-99999}", "9" * 16 + "*1", "\\sum_{n=1}^{9} n",
        "\\exp(\\exp(99))", "x+1", "__import__", "{" * 150, "\\frac{1}{" * 20 + "2",
    ],
)  # fmt: skip
def test_computations_are_no_numbers(formula: str) -> None:
    assert read_quantity(formula) is None


def test_formulas_compare_like_numbers() -> None:
    answer, reference = read_quantity("\\frac{\\sqrt{2}}{2} m"), read_quantity("70.7 cm")
    assert answer is not None
    assert reference is not None
    assert same_number(answer, reference)


def test_equivalence_is_that_of_the_released_graders() -> None:
    """The candidate's last number counts, wherever it stands; tags without spaces hide one."""
    assert symbolic.equivalent("<think> 3 </think><answer>2</answer>", "<answer> 3 </answer>")
    assert not symbolic.equivalent("<think> 3 </think><answer>2</answer>", "<answer>3</answer>")
    assert symbolic.equivalent("The answer is $\\frac{1}{2}$.", "0.5")
    assert not symbolic.equivalent("<answer>A</answer>", "<answer>A</answer>")


def test_threads_share_one_child() -> None:
    """math-verify itself refuses to run outside of the main thread."""
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(symbolic.value, [f"\\sqrt{{{i * i}}}" for i in range(40)]))
    assert values == [float(i) for i in range(40)]


def test_a_computation_without_end_is_killed_and_the_next_one_works() -> None:
    endless = {"operation": "equivalent", "content": "9**9**9", "solution": "8"}
    with symbolic._pool(cpu_seconds=0.5) as pool:
        with pytest.raises(symbolic.SymbolicError, match="time or memory"):
            symbolic._ask(endless, pool)
        assert symbolic._ask({"operation": "value", "text": "1+1"}, pool) == 2.0
        (worker,) = pool.workers.values()
        assert isinstance(worker, Process)
        os.kill(worker.pid, signal.SIGKILL)
        assert symbolic._ask({"operation": "value", "text": "1+2"}, pool) == 3.0


def test_a_forked_child_starts_its_own() -> None:
    assert symbolic.value("\\sqrt{4}") == 2.0
    pid = os.fork()
    if pid == 0:
        fresh = not symbolic._grader.workers
        right = symbolic.value("\\sqrt{9}") == 3.0
        symbolic._grader.close()
        os._exit(0 if fresh and right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert symbolic.value("\\sqrt{16}") == 4.0
