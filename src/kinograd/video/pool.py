"""A bounded pool of decoder processes that are kept alive, each watched by one thread."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, KinogradError
from kinograd.video.disk import DiskCache
from kinograd.video.faults import ClipError, ClipFault

# A batch is about this much work: it hides the round trip of clips that decode in a
# millisecond and never lets a slow clip wait behind another while a worker is idle.
_BATCH_S = 0.02
_BATCH = 16
_START_S = 120.0
_RETRY_CLAIM_S = 0.05
_NO_START = "no decoder process can be started; video.workers: 0 decodes in this process"


@dataclass(frozen=True)
class Stored:
    """The clip is in the disk cache under its key, put there by this pool or another's."""

    by_us: bool


Result = Clip | ClipError | Stored


@dataclass
class Task:
    """One clip to decode. ``arrived`` gets the result before the future yields it."""

    key: str
    label: str
    message: bytes
    arrived: Callable[[Result], None]
    urgent: bool = False
    not_before: float = 0.0
    future: Future[Result] = field(default_factory=Future)


class Worker:
    """One decoder process and its socket."""

    def __init__(self, setup: bytes) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(p for p in sys.path if p)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kinograd.video.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is the parent's; the socket's end is ours
            )
        except OSError as error:
            ours.close()
            raise KinogradError(f"{_NO_START} ({error})") from None
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())
        try:
            self._connection.send_bytes(setup)
            ready = self._connection.poll(_START_S) and self._connection.recv_bytes()
        except (EOFError, OSError):
            ready = None
        if ready != b"ready":
            self.end()
            raise KinogradError(f"{_NO_START} (its message is above)")

    def send(self, message: bytes) -> None:
        self._connection.send_bytes(message)

    def answer(self, timeout_s: float) -> Result:
        """The next answer.

        Raises:
            TimeoutError: none came in time.
            EOFError, OSError: the process died.
        """
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        head: dict[str, Any] = json.loads(self._connection.recv_bytes())
        if "error" in head:
            return ClipError(**head["error"])
        if "stored" in head:
            return Stored(by_us=True)
        frames = np.empty(head.pop("shape"), np.uint8)
        self._connection.recv_bytes_into(frames.data.cast("B"))
        return Clip(frames, np.array(head.pop("timestamps"), np.float64), **head)

    def kill(self) -> None:
        """Ends the process; whoever waits for an answer gets EOFError."""
        self._process.kill()

    def end(self) -> int:
        """Frees a worker that died or must; its exit status, negative for a signal."""
        self._connection.close()
        try:
            return self._process.wait(timeout=2.0 if self._process.poll() is None else None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class WorkerPool:
    """Decodes tasks in the order given, urgent ones first.

    Args:
        setup: the first message to every worker.
        cache: where workers leave clips; None if they send them back.
        room: says whether another clip that nobody waits for may be decoded.
    """

    def __init__(
        self, config: VideoConfig, setup: bytes, cache: DiskCache | None, room: Callable[[], bool]
    ) -> None:
        self._setup, self._timeout_s, self._cache = setup, config.timeout_s, cache
        self._room = room
        self._queue: OrderedDict[str, Task] = OrderedDict()
        self._condition = threading.Condition()
        self._closed = False
        self._workers: dict[str, Worker] = {}  # by the thread's name
        self._task_s = _BATCH_S  # running mean, seconds per task
        names = [f"clips-{i}" for i in range(config.workers)]
        self._threads = [threading.Thread(target=self._run, name=n, daemon=True) for n in names]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> Future[Result]:
        """Queues a task; its key must not be under way already."""
        with self._condition:
            self._queue[task.key] = task
            self._condition.notify()
        return task.future

    def hurry(self, key: str) -> None:
        """Somebody waits for ``key``: it goes first if it is still queued."""
        with self._condition:
            task = self._queue.get(key)
            if task is not None and not task.urgent:
                task.urgent = True
                self._queue.move_to_end(key, last=False)
                self._condition.notify()

    def wake(self) -> None:
        """There may be room again."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """Drops what is queued and ends the workers."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            for worker in self._workers.values():
                worker.kill()
        for thread in self._threads:
            thread.join()
        while self._queue:
            self._queue.popitem()[1].future.cancel()

    # ---------------------------------------------------------------- one thread

    def _run(self) -> None:
        worker: Worker | None = None
        batch: list[Task] = []
        try:
            while batch := self._take():
                try:
                    worker = worker or self._started()
                except KinogradError as error:
                    for task in batch:
                        self._release(task)
                        task.future.set_exception(error)
                    continue
                if not self._work(worker, batch):
                    worker = None
        finally:  # whatever happens, nobody waits for ever
            for task in batch:
                task.future.cancel()
            if worker is not None:
                worker.kill()
                worker.end()

    def _started(self) -> Worker:
        worker = Worker(self._setup)
        with self._condition:
            self._workers[threading.current_thread().name] = worker
            if self._closed:
                worker.kill()
        return worker

    def _work(self, worker: Worker, batch: list[Task]) -> bool:
        """Has a batch decoded; False if the worker is lost."""
        for number, task in enumerate(batch):
            began = time.monotonic()
            try:
                if number == 0:
                    for message in (t.message for t in batch):
                        worker.send(message)
                result = worker.answer(self._timeout_s)
            except (EOFError, OSError) as error:
                self._finish(task, self._lost(worker, task, error))
                self._requeue(batch[number + 1 :])
                return False
            self._task_s += 0.2 * (time.monotonic() - began - self._task_s)
            self._finish(task, result)
        return True

    def _lost(self, worker: Worker, task: Task, error: Exception) -> ClipError:
        """Why a worker had to end, or did."""
        if isinstance(error, TimeoutError):
            worker.kill()
            worker.end()
            why = (
                f"not decoded within video.timeout_s = {self._timeout_s:g} s; the decoder was ended"
            )
            return ClipError(ClipFault.TIMEOUT, task.label, why)
        status = worker.end()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return ClipError(ClipFault.CRASHED, task.label, f"the decoder died on this file ({how})")

    def _finish(self, task: Task, result: Result) -> None:
        self._release(task)
        if self._closed:
            task.future.cancel()
        else:
            task.arrived(result)
            task.future.set_result(result)

    def _release(self, task: Task) -> None:
        if self._cache is not None:
            self._cache.release(task.key)

    def _requeue(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._release(task)
        with self._condition:
            for task in reversed(tasks):
                self._queue[task.key] = task
                self._queue.move_to_end(task.key, last=False)
            self._condition.notify_all()

    def _take(self) -> list[Task]:
        """The next batch; empty when the pool is closed.

        Results are never delivered while the condition is held: that takes the store's
        lock, whose holders wait for the condition.
        """
        while True:
            done: list[Task] = []
            with self._condition:
                if self._closed:
                    return []
                batch = self._startable(done)
                if not batch and not done:
                    self._condition.wait(_RETRY_CLAIM_S if self._queue else None)
            for task in done:
                task.arrived(Stored(by_us=False))
                task.future.set_result(Stored(by_us=False))
            if batch:
                return batch

    def _startable(self, done: list[Task]) -> list[Task]:
        """Takes tasks off the queue: a fair batch to decode, and into ``done`` those that
        another process has decoded meanwhile."""
        size = max(1, min(_BATCH, int(_BATCH_S / max(self._task_s, 1e-4))))
        size = min(size, -(-len(self._queue) // len(self._threads)))
        now, room = time.monotonic(), self._room()
        batch: list[Task] = []
        for task in self._queue.values():
            if len(batch) >= size or not (task.urgent or room):
                break
            if task.not_before > now:
                continue
            ours = True if self._cache is None else self._cache.claim(task.key)
            if ours:
                batch.append(task)
            elif ours is None:
                done.append(task)
            else:
                task.not_before = now + _RETRY_CLAIM_S
        for task in (*batch, *done):
            del self._queue[task.key]
        return batch
