"""A pool of supervised workers: a queue of jobs, and a thread that watches each worker.

Guarantees, whatever a job does to its worker:

- every future ends: with an answer, an error, or by cancellation when the pool closes;
- a worker that hangs or dies is replaced, and only the job in its hands fails;
- a job whose worker was killed from outside gets one more try in a fresh worker.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakSet

from kinograd.workers.process import JobFailed, WorkerDied

# A batch is about this much work: it hides the round trip of jobs that take a millisecond and
# never lets a slow job wait behind another while a worker is idle.
_BATCH_S = 0.02
_BATCH = 16
_RETRY_CLAIM_S = 0.05


class Worker(Protocol):
    """One worker, watched by one thread; see ``process.Process`` for the methods' contracts."""

    def start(self) -> None: ...
    def answers(self, requests: Sequence[Any], timeout_s: float | None) -> Iterator[Any]: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


@dataclass(eq=False)
class Job:
    """Queued request and its future answer.

    Attributes:
        finish: turns the worker's answer, or a ``WorkerError``, into the future's result.
        urgent: a caller waits for it.
        claimed: it may start without being claimed again.
        retried: it has had its second try.
        not_before: time of the monotonic clock at which to try to claim it again.
    """

    request: Any
    finish: Callable[[Any], Any]
    future: Future[Any] = field(default_factory=Future)
    urgent: bool = False
    claimed: bool = False
    retried: bool = False
    not_before: float = 0.0


class Pool:
    """Runs jobs in the order of their submission, urgent ones first. Safe to use from threads.

    Threads and workers start with the first job. In a process forked from this one the pool is
    empty and starts workers of its own.

    Args:
        worker: makes a worker; it is started and watched by one thread.
        timeout_s: seconds for one job; None waits for ever.
        room: says whether a job that is not urgent may start now.
        claim: asked before a job starts: True lets it start, False has it asked again later,
            None ends it with the answer None.
    """

    def __init__(
        self,
        worker: Callable[[], Worker],
        workers: int,
        timeout_s: float | None = None,
        *,
        room: Callable[[], bool] = lambda: True,
        claim: Callable[[Any], bool | None] = lambda _: True,
    ) -> None:
        self.size = workers
        self._make, self._timeout_s = worker, timeout_s
        self._room, self._claim = room, claim
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._condition = threading.Condition()
        self._queue: OrderedDict[Future[Any], Job] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self.workers: dict[str, Worker] = {}  # by the thread's name
        self._closed = False
        self._job_s = _BATCH_S  # running mean, seconds per job

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, request: Any, *, finish: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Queue a request; return the future of its answer.

        Args:
            finish: given the answer, or a ``WorkerError``, returns the future's result or
                raises its exception. Called in a thread of the pool, before anybody who waits
                is woken. Left out, errors are raised.
        """
        job = Job(request, finish or _raise_errors)
        with self._condition:
            self._queue[job.future] = job
            while len(self._threads) < self.size:
                name = f"worker-{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._condition.notify()
        return job.future

    def prioritise(self, future: Future[Any]) -> None:
        """Move a job to the head of the queue, if it is still queued."""
        with self._condition:
            job = self._queue.get(future)
            if job is not None and not job.urgent:
                job.urgent = True
                self._queue.move_to_end(future, last=False)
                self._condition.notify()

    def wake(self) -> None:
        """Have ``room`` asked again."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """Cancel all jobs and end the workers."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            for worker in self.workers.values():
                worker.kill()
        for thread in self._threads:
            thread.join()
        while self._queue:
            self._queue.popitem()[0].cancel()

    # ---------------------------------------------------------------- one thread

    def _run(self) -> None:
        worker: Worker | None = None
        while batch := self._take():
            left = list(batch)
            try:
                worker = worker or self._started()
                self._work(worker, left)
            except Exception as error:  # noqa: BLE001 - a fault of a worker: its jobs know
                self._drop(worker)
                worker = None
                self._recover(left, error)
        self._drop(worker)

    def _started(self) -> Worker:
        worker = self._make()
        with self._condition:
            self.workers[threading.current_thread().name] = worker
            if self._closed:
                worker.kill()
        worker.start()
        return worker

    def _drop(self, worker: Worker | None) -> None:
        with self._condition:
            worker = self.workers.pop(threading.current_thread().name, worker)
        if worker is not None:
            worker.close()

    def _work(self, worker: Worker, left: list[Job]) -> None:
        """Have jobs done; those that are finished are taken out of ``left``."""
        began = time.monotonic()
        for answer in worker.answers([job.request for job in left], self._timeout_s):
            self._finish(left.pop(0), answer)
            now = time.monotonic()
            self._job_s += 0.2 * (now - began - self._job_s)
            began = now
            if not left:  # what a worker does after its last answer concerns no job
                return

    def _recover(self, left: list[Job], error: Exception) -> None:
        """Fail the job in hand, or have it tried again; requeue those behind it."""
        if not left:
            return
        innocent = isinstance(error, WorkerDied) and error.from_outside and not left[0].retried
        if innocent and not self._closed:
            left[0].retried = True
        else:
            self._finish(left.pop(0), error)
        with self._condition:
            for job in reversed(left):
                self._queue[job.future] = job
                self._queue.move_to_end(job.future, last=False)
            self._condition.notify_all()

    def _finish(self, job: Job, answer: Any) -> None:
        with suppress(InvalidStateError):  # the caller cancelled it meanwhile
            if self._closed:
                job.future.cancel()
                return
            try:
                result = job.finish(answer)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

    # ------------------------------------------------------------------ the queue

    def _take(self) -> list[Job]:
        """Wait for the next batch; empty when the pool is closed."""
        while True:
            needless: list[tuple[Job, Any]] = []
            with self._condition:
                if self._closed:
                    return []
                batch = self._startable(needless)
                if not batch and not needless:
                    self._condition.wait(_RETRY_CLAIM_S if self._queue else None)
            # Not while the condition is held: ``finish`` may take a lock whose holders wait
            # for the condition.
            for job, answer in needless:
                self._finish(job, answer)
            if batch:
                return batch

    def _startable(self, needless: list[tuple[Job, Any]]) -> list[Job]:
        """Take a fair batch off the queue; into ``needless`` go jobs that end without work."""
        size = max(1, min(_BATCH, int(_BATCH_S / max(self._job_s, 1e-4))))
        size = min(size, -(-len(self._queue) // self.size))
        now, room = time.monotonic(), self._room()
        batch: list[Job] = []
        for job in self._queue.values():
            if len(batch) >= size or not (job.urgent or job.claimed or room):
                break
            if job.not_before > now:
                continue
            try:
                claimed = job.claimed or self._claim(job.request)
            except Exception as error:  # noqa: BLE001 - the job fails, the thread lives
                needless.append((job, JobFailed(f"{type(error).__name__}: {error}")))
                continue
            if claimed is None:
                needless.append((job, None))
            elif claimed:
                job.claimed = True
                batch.append(job)
            else:
                job.not_before = now + _RETRY_CLAIM_S
        for job in (*batch, *(job for job, _ in needless)):
            del self._queue[job.future]
        return batch


def _raise_errors(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


_pools: WeakSet[Pool] = WeakSet()


def _empty_pools() -> None:
    # A forked child has none of the threads; workers and queues are the parent's.
    for pool in _pools:
        pool._reset()


os.register_at_fork(after_in_child=_empty_pools)
