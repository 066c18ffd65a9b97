"""math-verify at arm's length: in a child process that may be killed.

math-verify limits its time with SIGALRM, which works in the main thread only, cannot
interrupt C code and takes the signal away from everybody else. One child per process, started
when first needed, makes it safe in threads and against any text.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

_START_SECONDS = 120.0  # importing sympy on a busy machine
_CPU_SECONDS = 20.0  # above math-verify's own limits: two parses and one comparison of 5 s
_WALL_SECONDS = 60.0  # the same on a busy machine
_WORKER = Path(__file__).with_name("symbolic_worker.py")

# What a formula given as an answer may consist of. Anything else is a computation.
_COMMANDS = {"frac", "dfrac", "tfrac", "sqrt", "pi", "cdot", "times", "div", "left", "right"}
_FORMULA = re.compile(r"(?:\\[A-Za-z]+|[\d\s+\-*/^(){}\[\].])+")
_POWER = r"(?:\^|\*\*)"
_HUGE = re.compile(rf"\d{{16}}|{_POWER}\s*[{{(]?\s*-?\d{{4}}|{_POWER}[^+\-/]*{_POWER}")
# math-verify finds nothing in a text without any of these.
_MATHEMATICAL = re.compile(r"[\d$\\\[]")


class SymbolicError(Exception):
    """A formula could not be evaluated: time, memory or an error inside the library."""


class _Worker:
    """The child process: started when first asked, replaced after a death or a fork."""

    def __init__(self, cpu_seconds: float) -> None:
        self._cpu_seconds = cpu_seconds
        self.forget()

    def forget(self) -> None:
        """Leave the process, if any, to the one who forked us."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> Any:
        with self._lock:
            process = self._running()
            try:
                print(json.dumps(request), file=process.stdin, flush=True)
                reply = _read(process, _WALL_SECONDS)
            except BrokenPipeError:
                reply = None
            if reply is None:
                self.stop()
                raise SymbolicError("math-verify ran out of time or memory")
        if "error" in reply:
            raise SymbolicError(f"math-verify failed with {reply['error']}")
        return reply["result"]

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        # -P: the script's folder is no place to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(self._cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for us; the child ends with its input
        )
        if _read(self._process, _START_SECONDS) is None:
            self.stop()
            raise SymbolicError("math-verify did not start; is it installed?")
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def _read(process: subprocess.Popen[str], seconds: float) -> dict[str, Any] | None:
    """The next line; None after ``seconds`` or at the end of the stream."""
    assert process.stdout is not None
    if not wait([process.stdout.fileno()], seconds):
        return None
    line = process.stdout.readline()
    return json.loads(line) if line.endswith("\n") else None


_worker = _Worker(_CPU_SECONDS)
atexit.register(_worker.stop)
os.register_at_fork(after_in_child=_worker.forget)


def equivalent(content: str, solution: str) -> bool:
    """``verify(parse(content), parse(solution))`` as the released graders call it.

    Like them, a failure of the library counts as "not equivalent": they go on to compare
    strings. Their code would hang where this gives up.
    """
    if not (_MATHEMATICAL.search(solution) and _MATHEMATICAL.search(content)):
        return False
    try:
        return _worker.ask({"operation": "equivalent", "content": content, "solution": solution})
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
    return _worker.ask({"operation": "value", "text": text.replace("**", "^")})


def _root(match: re.Match[str]) -> str:
    return rf"\sqrt{{{next(g for g in match.groups() if g is not None)}}}"
