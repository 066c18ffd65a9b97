"""Workers on a Ray cluster, or on a Ray of this machine that ends with the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from kinograd.types import UsageError
from kinograd.workers.child import describe
from kinograd.workers.pool import Pool
from kinograd.workers.process import JobFailed, JobTimeout, NotStarted, WorkerDied


@contextmanager
def ray_pool(make: Callable[[], Callable[[Any], Any]], workers: int) -> Iterator[Pool]:
    """Yield a pool of at most ``workers`` Ray actors, as many as there are CPUs.

    A Ray that runs is joined, one that ``RAY_ADDRESS`` names too; else one is started here.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError("backend ray needs Ray: pip install 'kinograd[ray]'") from None
    library: Any = ray
    ours = not library.is_initialized()
    if ours:
        joined = "RAY_ADDRESS" in os.environ
        library.init(
            num_cpus=None if joined else max(1, workers),
            include_dashboard=None if joined else False,
            configure_logging=False,
        )
    size = max(1, min(workers, int(library.cluster_resources().get("CPU", 1))))
    try:
        with Pool(partial(Actor, library, make), size) as pool:
            yield pool
    finally:
        if ours:
            library.shutdown()


class Actor:
    """A worker in the form of a Ray actor; ``process.Process`` documents the methods."""

    def __init__(self, ray: Any, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._ray = ray
        self._actor: Any = ray.remote(num_cpus=1)(_Inside).remote(make)

    def start(self) -> None:
        if (failure := self._value(self._actor.failure.remote(), None)) is not None:
            raise NotStarted(f"no worker can be started ({failure})")

    def answers(self, requests: Sequence[Any], timeout_s: float | None) -> Iterator[Any]:
        streaming = self._actor.answers.options(num_returns="streaming")
        for reference in streaming.remote(list(requests)):
            done, answer = self._value(reference, timeout_s)
            yield answer if done else JobFailed(answer)

    def kill(self) -> None:
        self._ray.kill(self._actor)

    close = kill

    def _value(self, reference: Any, timeout_s: float | None) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=timeout_s)
        except errors.GetTimeoutError:
            raise JobTimeout(f"not finished within {timeout_s:g} s") from None
        except errors.RayActorError as error:  # Ray does not say who killed it
            raise WorkerDied(str(error).partition("\n")[0], from_outside=True) from None


class _Inside:
    """Actor's own side: it holds the function and yields answers one by one."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._failure: str | None = None
        try:
            self._function = make()
        except Exception as error:  # noqa: BLE001 - a worker; the driver reports it
            self._failure = describe(error)

    def failure(self) -> str | None:
        """Return why ``make`` failed, or None."""
        return self._failure

    def answers(self, requests: list[Any]) -> Iterator[tuple[bool, Any]]:
        """Yield (True, answer) or (False, error) per request."""
        for request in requests:
            try:
                yield True, self._function(request)
            except Exception as error:  # noqa: BLE001 - a worker; the driver reports it
                yield False, describe(error)
