"""One function over many rows: in this process, in several, or on a Ray cluster.

Results come in the order of the items and do not depend on the backend. Memory does not grow
with the number of items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from kinograd.types import KinogradError, UsageError
from kinograd.workers.pool import Pool
from kinograd.workers.process import Process, WorkerError
from kinograd.workers.ray import ray_pool

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 32
"""Items per worker that may be begun before the oldest one is finished."""


def map_rows(
    make: Callable[[], Callable[[T], R]],
    items: Iterable[T],
    *,
    workers: int = 1,
    backend: str = "local",
) -> Iterator[R]:
    """Yield ``make()(item)`` for every item, in order.

    ``items`` is read in this process. Ray is joined where ``RAY_ADDRESS`` names a cluster, else
    started on this machine with ``workers`` CPUs.

    Args:
        make: called once in each worker, so that what it returns may hold decoders and
            connections; see ``Process`` for what it may be. If what it returns has a method
            ``close``, it is called at the end where this process did the work.

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
    opened = ray_pool(make, workers) if backend == "ray" else Pool(partial(Process, make), workers)
    with opened as pool:
        yield from _ordered(pool, items)


def close(work: object) -> None:
    """Call the method ``close`` of a worker's function, if it has one."""
    getattr(work, "close", lambda: None)()


def _ordered(pool: Pool, items: Iterable[Any]) -> Iterator[Any]:
    begun: deque[tuple[int, Any, Future[Any]]] = deque()
    for number, item in enumerate(items, start=1):
        begun.append((number, item, pool.submit(item)))
        if len(begun) >= _AHEAD * pool.size:
            yield _result(*begun.popleft())
    while begun:
        yield _result(*begun.popleft())


def _result(number: int, item: object, future: Future[Any]) -> Any:
    try:
        return future.result()
    except WorkerError as error:
        raise KinogradError(f"row {number}, {item!r:.200}: {error}") from None
