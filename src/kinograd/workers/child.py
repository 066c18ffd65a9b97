"""Main loop of a worker process: build a function once, then answer requests with it.

Started as ``python -m kinograd.workers.child FD`` and not through ``multiprocessing``, which
would import the caller's main module (and its torch) first and needs a guard in every script.
FD is the worker's end of a socket; standard input is a pipe that only the parent's life keeps
open.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any

from kinograd.types import KinogradError
from kinograd.workers.wire import Channel


def serve(channel: Channel) -> None:
    """Receive a factory, call it, then answer batches of requests until the parent is gone."""
    function, failure = None, None
    try:
        function = channel.receive(trusted=True)()
    except Exception as error:  # noqa: BLE001 - a worker process; the parent reports it
        failure = describe(error)
    channel.send(failure)
    while function is not None:
        # A batch is read completely before its first answer is written, and the parent sends
        # the next after the last answer: both sides never write at the same time.
        for request in channel.receive(trusted=True):
            try:
                answer: tuple[bool, Any] = True, function(request)
            except Exception as error:  # noqa: BLE001 - a worker process; the parent reports it
                answer = False, describe(error)
            try:
                channel.send(answer)
            except TypeError as error:
                channel.send((False, str(error)))


def describe(error: Exception) -> str:
    """Return an error in one line; print the traceback of those that are not ours."""
    if isinstance(error, KinogradError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def _die_with_the_parent() -> None:
    """Have the kernel end this process when standard input, the parent's pipe, is closed.

    The end of the socket would be seen only between requests, by a thread only while no codec
    holds the interpreter. The signal that announces input ends a process at once.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # closed before the kernel was asked
        sys.exit()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends us
    _die_with_the_parent()
    os.dup2(2, 1)  # standard output belongs to the parent's results
    with suppress(EOFError, ConnectionError):  # the parent is gone
        serve(Channel(socket.socket(fileno=int(sys.argv[1]))))
