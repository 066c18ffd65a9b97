"""Child process that runs math-verify: one JSON request per line in, one answer per line out.

A script of its own, so that it loads nothing of this package. sympy may compute for ever or
fill the memory on a short text (``9**9**9``), inside C code that no Python signal can
interrupt. Here the kernel ends it: an address-space limit, and a CPU timer per request whose
signal kills, so that not even an orphan runs on.
"""

from __future__ import annotations

import importlib
import json
import logging
import resource
import signal
import sys
from typing import Any

MEMORY_BYTES = 2 << 30


def equivalent(content: str, solution: str) -> bool:
    """What the released graders call: the candidate as *gold*, both texts whole."""
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


def _answer(request: dict[str, Any]) -> Any:
    if request["operation"] == "equivalent":
        return equivalent(request["content"], request["solution"])
    return value(request["text"])


def main(cpu_seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)  # math-verify warns about every time-out
    out, sys.stdout = sys.stdout, sys.stderr  # replies only, whatever a library prints
    _math_verify()
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            reply = {"result": _answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001 -- foreign code
            reply = {"error": type(error).__name__}
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
