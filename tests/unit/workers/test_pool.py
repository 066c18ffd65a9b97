"""The supervised pool: whatever a job does to its worker, futures end and others live on."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kinograd.workers.pool import Pool
from kinograd.workers.process import (
    JobFailed,
    JobTimeout,
    NotStarted,
    Process,
    WorkerDied,
    WorkerError,
)

SLEEP = partial(partial, time.sleep)
DOUBLE = partial(partial, operator.mul, 2)
SIGNAL = partial(partial, signal.raise_signal)
EXIT = partial(partial, os._exit)


def pool(make: Callable, workers: int = 1, timeout_s: float | None = 20.0, **more) -> Pool:
    return Pool(partial(Process, make), workers, timeout_s, **more)


def pid_of(p: Pool) -> int:
    (worker,) = p.workers.values()
    assert isinstance(worker, Process)
    return worker.pid


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about within 10 s")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_messages_larger_than_any_buffer_travel_both_ways_at_once() -> None:
    large = np.arange(1 << 22, dtype=np.uint8)
    with pool(DOUBLE, workers=2) as p:
        p._job_s = 1e-4  # as after quick jobs: requests and answers go in batches
        with p._condition:
            futures = [p.submit(large) for _ in range(20)]
        assert all(np.array_equal(f.result(), large * 2) for f in futures)


def test_a_hanging_job_is_ended_in_time_and_the_next_one_works() -> None:
    with pool(SLEEP, timeout_s=0.3) as p:
        p.submit(0.0).result()
        first = pid_of(p)
        began = time.monotonic()
        with pytest.raises(JobTimeout, match=r"0\.3 s"):
            p.submit(30.0).result()
        assert time.monotonic() - began < 5.0
        assert gone(first)
        assert p.submit(0.0).result() is None


def test_a_worker_that_stops_in_the_middle_of_a_message_is_ended_in_time() -> None:
    """The first bytes came in time; the last never do."""
    process = Process(DOUBLE)
    process.start()
    process._channel.send([np.zeros(1 << 24, np.uint8)])
    time.sleep(0.5)  # it writes until the socket is full
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        process._channel.receive(0.5)
    assert time.monotonic() - began < 5.0
    process.close()


@pytest.mark.parametrize("ways", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_killed_from_outside_costs_nothing(ways: signal.Signals) -> None:
    with pool(SLEEP) as p:
        p.submit(0.0).result()
        first = p.submit(1.0)
        time.sleep(0.2)
        os.kill(pid_of(p), ways)
        assert first.result() is None


def test_a_job_that_gets_its_worker_killed_twice_is_blamed() -> None:
    with pool(SIGNAL) as p:
        with pytest.raises(WorkerDied, match="signal 9"):
            p.submit(int(signal.SIGKILL)).result()
        assert p.submit(0).result() is None


@pytest.mark.parametrize(
    ("make", "request_", "how"), [(SIGNAL, 11, "signal 11"), (EXIT, 3, "exit status 3")]
)
def test_a_crash_costs_the_job_in_hand_and_no_other(make, request_, how) -> None:
    with pool(make) as p:
        with p._condition:  # so that they are all there when the batch is made up
            p._job_s = 1e-4
            bad = p.submit(request_)
            behind = [p.submit(0) for _ in range(3)] if make is SIGNAL else []
        with pytest.raises(WorkerDied, match=how):
            bad.result()
        assert [f.result() for f in behind] == [None] * len(behind)


def test_an_error_is_the_jobs_and_the_worker_lives(capfd) -> None:
    with pool(partial(partial, operator.truediv, 1)) as p:
        assert p.submit(2).result() == 0.5
        first = pid_of(p)
        with pytest.raises(JobFailed, match="ZeroDivisionError"):
            p.submit(0).result()
        assert pid_of(p) == first
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("make", [partial(operator.truediv, 1, 0), partial(os._exit, 1)])
def test_a_factory_that_fails_fails_every_job(make) -> None:
    with pool(make, workers=2) as p:
        for future in [p.submit(0) for _ in range(5)]:
            with pytest.raises(NotStarted):
                future.result()


def test_requests_that_cannot_travel_fail_alone() -> None:
    with pool(SLEEP) as p:
        with pytest.raises(TypeError, match="cannot travel"):
            p.submit(object()).result()
        assert p.submit(0.0).result() is None


def test_hooks_that_raise_fail_their_job_and_no_thread_dies() -> None:
    def claim(request: int) -> bool | None:
        if request < 0:
            raise OSError("the folder vanished")
        return None if request == 0 else True

    with pool(DOUBLE, claim=claim) as p:
        with pytest.raises(WorkerError, match="the folder vanished"):
            p.submit(-1).result(10)
        with pytest.raises(ZeroDivisionError):
            p.submit(2, finish=lambda answer: answer // 0).result(10)
        assert p.submit(0).result(10) is None
        assert p.submit(2).result(10) == 4


def test_closing_ends_waiters_and_workers() -> None:
    p = pool(SLEEP, workers=2)
    futures = [p.submit(30.0) for _ in range(6)]
    until(lambda: len(p.workers) == 2)
    p.close()
    assert all(f.cancelled() for f in futures)
    assert not p.workers


def test_ctrl_c_is_the_parents() -> None:
    with pool(SLEEP) as p:
        p.submit(0.0).result()
        first = pid_of(p)
        os.kill(first, signal.SIGINT)
        assert p.submit(0.1).result() is None
        assert pid_of(p) == first


SCRIPT = """
import os, time
from functools import partial
from kinograd.workers.process import Process
p = Process({make})
p.start()
p._channel.send([{request}])
time.sleep(1.0)
print(p.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("make", "request_"),
    [
        ("partial(partial, time.sleep)", "1000"),
        ("partial(partial, pow, 3)", "3**22"),  # holds the interpreter for hours
    ],
)
def test_no_orphan_survives_a_parent_killed_in_the_middle_of_a_job(make, request_) -> None:
    script = SCRIPT.format(make=make, request=request_)
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == -signal.SIGKILL
    until(lambda: gone(int(done.stdout)))


def test_a_worker_starts_light() -> None:
    with pool(SLEEP) as p:
        p.submit(0.0).result()
        maps = Path(f"/proc/{pid_of(p)}/maps").read_text()
    assert "libtorch" not in maps
    assert "libav" not in maps
