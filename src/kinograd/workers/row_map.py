"""One function over many rows: in this process, in several, or on a Ray cluster.

The results come in the order of the items and are the same whatever the backend. Memory does
not grow with the number of items: each worker holds one chunk, and a slow chunk makes the
others wait once a few are ready behind it.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

from kinograd.types import KinogradError, UsageError

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4
"""Chunks per worker that may be begun before the oldest one is finished."""


def map_rows(
    make: Callable[[], Callable[[T], R]],
    items: Iterable[T],
    *,
    workers: int = 1,
    backend: str = "local",
    chunk: int = 16,
) -> Iterator[R]:
    """``make()(item)`` for every item, in order.

    ``items`` is read in this process. With several local workers a script must guard its main
    module, as Python's ``spawn`` asks. Ray is joined where ``RAY_ADDRESS`` says, else started
    on this machine with ``workers`` CPUs.

    Args:
        make: picklable; called once in each worker, so that what it returns may hold
            decoders and connections. A method ``close`` of it is called at the end where
            this process lives on.
        chunk: items that a worker takes at a time.

    Raises:
        UsageError: an unknown backend, or Ray is not installed.
        KinogradError: a worker died or its function failed; names the row. In this process
            the function's own error.
    """
    if backend not in ("local", "ray"):
        raise UsageError(f"unknown backend {backend!r}; there are local and ray")
    if backend == "local" and workers <= 1:
        work = make()
        try:
            yield from map(work, items)
        finally:
            close(work)
        return
    crew = _RayCrew(make, workers) if backend == "ray" else _Processes(make, workers)
    try:
        yield from _ordered(crew, iter(items), chunk)
    finally:
        crew.close()


def close(work: object) -> None:
    """Give up what a worker's function holds, if it has a ``close``."""
    getattr(work, "close", lambda: None)()


class _Crew(Protocol):
    """Workers, each busy with at most one chunk."""

    size: int

    def give(self, worker: int, first: int, rows: list[Any]) -> None:
        """Hand an idle worker its next rows; the first has number ``first``."""
        ...

    def take(self) -> tuple[int, list[Any]]:
        """Wait for any worker; (worker, results)."""
        ...

    def close(self) -> None: ...


def _ordered(crew: _Crew, items: Iterator[Any], chunk: int) -> Iterator[Any]:
    idle, given = list(range(crew.size)), [0] * crew.size
    finished: dict[int, list[Any]] = {}
    begun = due = 0
    while True:
        while idle and begun - due < _AHEAD * crew.size and (rows := list(islice(items, chunk))):
            worker = idle.pop()
            crew.give(worker, begun * chunk, rows)
            given[worker], begun = begun, begun + 1
        if due in finished:
            yield from finished.pop(due)
            due += 1
        elif due < begun:
            worker, results = crew.take()
            finished[given[worker]] = results
            idle.append(worker)
        else:
            return


# ------------------------------------------------------------------- processes


class _Processes:
    """Spawned processes, each behind a pipe.

    Spawned, not forked: the caller may run torch's threads, which do not survive a fork.
    The end of the pipe ends a process, also when this one is killed.
    """

    def __init__(self, make: Callable[[], Any], workers: int) -> None:
        self.size = workers
        context = get_context("spawn")
        self._rows: dict[int, tuple[int, list[Any]]] = {}
        self._at = [context.RawValue("q", -1) for _ in range(workers)]  # row in hand
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, make, self._at[number]), daemon=True
            )
            self._pipes.append(ours)
            process.start()
            self._processes.append(process)
            theirs.close()

    def give(self, worker: int, first: int, rows: list[Any]) -> None:
        self._rows[worker] = first, rows
        with suppress(OSError):  # dead: ``take`` meets the end of its pipe
            self._pipes[worker].send(rows)

    def take(self) -> tuple[int, list[Any]]:
        pipe = wait([self._pipes[worker] for worker in self._rows])[0]
        assert isinstance(pipe, Connection)
        worker = self._pipes.index(pipe)
        try:
            failure, results = pipe.recv()
        except (EOFError, OSError):
            failure, results = self._death(worker), []
        first, rows = self._rows.pop(worker)
        if failure is not None:
            raise _failed(first, rows, self._at[worker].value, failure)
        return worker, results

    def _death(self, worker: int) -> str:
        self._processes[worker].join(5.0)
        status = self._processes[worker].exitcode
        how = f"signal {-status}" if status and status < 0 else f"exit status {status}"
        return f"the worker died ({how}), perhaps for want of memory or in a codec"

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.kill()
            process.join()


def _serve(pipe: Connection, make: Callable[[], Any], at: Any) -> None:
    """A worker process. Deaf to Ctrl-C, which reaches the whole group: the parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):  # the parent is gone
        work = None
        while True:
            rows = pipe.recv()
            results: list[Any] = []
            failure = None
            try:
                at.value = -1
                work = work or make()
                for number, row in enumerate(rows):
                    at.value = number
                    results.append(work(row))
            except Exception as error:  # noqa: BLE001 - a worker process: told to the parent
                failure = _told(error)
            pipe.send((failure, results))


# ------------------------------------------------------------------------- Ray


class _RayCrew:
    """Actors on a Ray cluster, or on a Ray of this machine that ends with the work."""

    def __init__(self, make: Callable[[], Any], workers: int) -> None:
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UsageError("backend ray needs Ray: pip install 'kinograd[ray]'") from None
        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            there = "RAY_ADDRESS" in os.environ
            ray.init(
                num_cpus=None if there else max(1, workers),
                include_dashboard=None if there else False,
                configure_logging=False,
            )
        self.size = max(1, min(workers, int(ray.cluster_resources().get("CPU", 1))))
        actor: Any = ray.remote(num_cpus=1)(_Actor)
        self._actors = [actor.remote(make) for _ in range(self.size)]
        self._busy: dict[Any, tuple[int, int, list[Any]]] = {}

    def give(self, worker: int, first: int, rows: list[Any]) -> None:
        self._busy[self._actors[worker].work.remote(rows)] = worker, first, rows

    def take(self) -> tuple[int, list[Any]]:
        ready, _ = self._ray.wait(list(self._busy), num_returns=1)
        worker, first, rows = self._busy.pop(ready[0])
        try:
            failure, at, results = self._ray.get(ready[0])
        except self._ray.exceptions.RayActorError as error:
            failure, at, results = f"the worker died: {error}".partition("\n")[0], -1, []
        if failure is not None:
            raise _failed(first, rows, at, failure)
        return worker, results

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class _Actor:
    """What an actor holds: the function, made at its first rows."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._function = make, None

    def work(self, rows: list[Any]) -> tuple[str | None, int, list[Any]]:
        """(failure, place of the row in hand, results)."""
        results: list[Any] = []
        at = -1
        try:
            self._function = self._function or self._make()
            for at, row in enumerate(rows):  # noqa: B007 - kept for the failure
                results.append(self._function(row))
        except Exception as error:  # noqa: BLE001 - a worker process: told to the parent
            return _told(error), at, []
        return None, at, results


# -------------------------------------------------------------------- failures


def _told(error: Exception) -> str:
    if isinstance(error, KinogradError):
        return str(error)
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"


def _failed(first: int, rows: list[Any], at: int, failure: str) -> KinogradError:
    if at < 0:
        where = f"rows {first + 1} to {first + len(rows)}"
    else:
        where = f"row {first + at + 1}, {rows[at]!r:.200}"
    return KinogradError(f"{where}: {failure}")
