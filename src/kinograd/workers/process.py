"""A worker as a child process of this one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from kinograd.types import KinogradError
from kinograd.workers.wire import Channel

_START_S = 120.0  # imports on a busy machine
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT}


class WorkerError(KinogradError):
    """A job that a worker did not finish; the subclass says why."""


class NotStarted(WorkerError):
    """No worker could be started."""


class JobFailed(WorkerError):
    """Error of the worker's function; the worker lives on."""


class JobTimeout(WorkerError):
    """A job that was not finished in time; its worker was killed."""


class WorkerDied(WorkerError):
    """Death of the worker over the job.

    Attributes:
        from_outside: it was killed (by the kernel short of memory, or by an administrator),
            so that the job may be innocent.
    """

    def __init__(self, how: str, from_outside: bool) -> None:
        super().__init__(f"the worker died ({how})")
        self.from_outside = from_outside


class Process:
    """A child process that calls ``make`` once and answers requests with what it returned.

    Args:
        make: a function or class with a name at module level, or a ``functools.partial`` of
            one; its arguments must be able to travel (see ``wire``).
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(p for p in sys.path if p)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kinograd.workers.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,  # never written to: its end is ours
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C reaches a whole session
            )
        except OSError as error:
            ours.close()
            raise NotStarted(f"no worker process can be started ({error})") from None
        finally:
            theirs.close()
        self._channel = Channel(ours)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def start(self) -> None:
        """Wait until the worker has called ``make``.

        Raises:
            NotStarted: it died or did not come up in time, or ``make`` failed.
        """
        try:
            self._channel.send(self._make, _START_S)
            failure = self._channel.receive(_START_S)
        except (EOFError, OSError, ValueError):
            failure = "its message is above"
        if failure is not None:
            raise NotStarted(f"no worker process can be started ({failure})")

    def answers(self, requests: Sequence[Any], timeout_s: float | None) -> Iterator[Any]:
        """Yield the answer to each request, in order; a ``JobFailed`` is an answer too.

        Args:
            timeout_s: seconds for each request; None waits for ever.

        Raises:
            JobTimeout, WorkerDied: over the request whose turn it is. ``close`` must follow.
        """
        try:
            self._channel.send(list(requests), timeout_s)
            for _ in requests:
                done, answer = self._channel.receive(timeout_s)
                yield answer if done else JobFailed(answer)
        except TimeoutError:
            raise JobTimeout(f"not finished within {timeout_s:g} s") from None
        except (EOFError, OSError):
            raise self._death() from None
        except ValueError as error:
            raise WorkerDied(f"it sent {error}", from_outside=False) from None

    def kill(self) -> None:
        """Kill the process, from any thread; ``answers`` raises then."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and free what belongs to it."""
        self._process.kill()
        self._channel.close()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _death(self) -> WorkerDied:
        with suppress(subprocess.TimeoutExpired):  # it closed its socket and lives on
            self._process.wait(2.0)
        status = self._process.returncode
        if status is None:
            return WorkerDied("it closed its socket", from_outside=False)
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return WorkerDied(how, from_outside=-status in _FROM_OUTSIDE)
