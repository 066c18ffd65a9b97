"""math-verify inside a worker process, under limits that the kernel keeps.

sympy may compute for ever or fill the memory on a short text (``9**9**9``), inside C code that
no Python signal can interrupt. The kernel ends it: by a limit on the address space, and by a
CPU timer per request whose signal kills.
"""

from __future__ import annotations

import importlib
import logging
import resource
import signal
from typing import Any

from kinograd.types import KinogradError

MEMORY_BYTES = 2 << 30


def equivalent(content: str, solution: str) -> bool:
    """Call math-verify as the released graders do: candidate as *gold*, both texts in full."""
    library = _math_verify()
    return float(library.verify(library.parse(content), library.parse(solution))) > 0


def value(text: str) -> float | None:
    """Value of a LaTeX formula; None if it is not one real number."""
    library = _math_verify()
    latex = [library.LatexExtractionConfig()]
    found = library.parse(f"${text}$", latex, fallback_mode="no_fallback")
    if not found or not getattr(found[0], "is_number", False):
        return None
    number = complex(found[0].evalf(17))
    return number.real if number.imag == 0 and abs(number.real) < 1e300 else None


def _math_verify() -> Any:
    return importlib.import_module("math_verify")


class SymbolicGrader:
    """Answers requests with ``equivalent`` and ``value``; lives in a worker process.

    Args:
        cpu_seconds: CPU time for one request; the process dies beyond it.
    """

    def __init__(self, cpu_seconds: float) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        logging.disable(logging.CRITICAL)  # math-verify warns about every time-out
        self._cpu_seconds = cpu_seconds
        _math_verify()

    def __call__(self, request: dict[str, str]) -> bool | float | None:
        """Return the result of ``operation``, whose arguments are the other keys."""
        signal.setitimer(signal.ITIMER_PROF, self._cpu_seconds)
        try:
            if request["operation"] == "equivalent":
                return equivalent(request["content"], request["solution"])
            return value(request["text"])
        except Exception as error:  # noqa: BLE001 - foreign code; its name is enough
            raise KinogradError(type(error).__name__) from None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
