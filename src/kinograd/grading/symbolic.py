"""math-verify in a worker process, which may be killed.

math-verify limits its time with SIGALRM, which works in the main thread only, cannot
interrupt C code and takes the signal away from everybody else. One worker per process, started
with the first formula, makes it safe in threads and against any text.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from kinograd.grading.symbolic_worker import SymbolicGrader
from kinograd.workers.pool import Pool
from kinograd.workers.process import JobFailed, NotStarted, Process, WorkerError

_CPU_SECONDS = 20.0  # above math-verify's own limits: two parses and one comparison of 5 s
_WALL_SECONDS = 60.0  # the same on a busy machine

# What a formula given as an answer may consist of. Anything else is a computation.
_COMMANDS = {"frac", "dfrac", "tfrac", "sqrt", "pi", "cdot", "times", "div", "left", "right"}
_FORMULA = re.compile(r"(?:\\[A-Za-z]+|[\d\s+\-*/^(){}\[\].])+")
_POWER = r"(?:\^|\*\*)"
_HUGE = re.compile(rf"\d{{16}}|{_POWER}\s*[{{(]?\s*-?\d{{4}}|{_POWER}[^+\-/]*{_POWER}")
# math-verify finds nothing in a text without any of these.
_MATHEMATICAL = re.compile(r"[\d$\\\[]")


class SymbolicError(Exception):
    """A formula could not be evaluated: time, memory or an error inside the library."""


def _pool(cpu_seconds: float) -> Pool:
    return Pool(partial(Process, partial(SymbolicGrader, cpu_seconds)), 1, _WALL_SECONDS)


def _ask(request: dict[str, str], pool: Pool) -> Any:
    try:
        return pool.submit(request).result()
    except JobFailed as error:
        raise SymbolicError(f"math-verify failed with {error}") from None
    except NotStarted as error:
        raise SymbolicError(f"math-verify did not start; is it installed? ({error})") from None
    except WorkerError:
        raise SymbolicError("math-verify ran out of time or memory") from None


_grader = _pool(_CPU_SECONDS)


def equivalent(content: str, solution: str) -> bool:
    """``verify(parse(content), parse(solution))`` as the released graders call it.

    Like them, a failure of the library counts as "not equivalent": they then compare
    strings. Their code would hang where this gives up.
    """
    if not (_MATHEMATICAL.search(solution) and _MATHEMATICAL.search(content)):
        return False
    try:
        return _ask({"operation": "equivalent", "content": content, "solution": solution}, _grader)
    except SymbolicError:
        return False


def value(formula: str) -> float | None:
    """Value of a short formula in LaTeX or plain signs; None if it is none.

    A formula with huge powers or with anything but arithmetic, roots and pi is refused
    before it is evaluated, so that the same text gets the same grade on every machine.

    Raises:
        SymbolicError: it could not be evaluated.
    """
    text = formula.replace("π", r"\pi ").replace("×", r"\times ").replace("÷", "/")
    text = re.sub(r"(?<!\\)\bsqrt\s*\(([^()]*)\)|√\(([^()]*)\)|√(\d+)", _root, text)
    text = re.sub(r"(?<!\\)\bpi\b", r"\\pi ", text)
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    if not _FORMULA.fullmatch(text) or not commands <= _COMMANDS or _HUGE.search(text):
        return None
    return _ask({"operation": "value", "text": text.replace("**", "^")}, _grader)


def _root(match: re.Match[str]) -> str:
    return rf"\sqrt{{{next(g for g in match.groups() if g is not None)}}}"
