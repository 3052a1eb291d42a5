"""A race: the calls of all providers take turns in one process, after the answer of each is known to be right.

Ratios hold within one race alone, because the machine's speed changes from minute to minute. Between two turns there is
a pause, until the threads that spin have gone to sleep.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fastsoftmax._threads import num_threads
from fastsoftmax.cli.races.formulas import NUMPY
from fastsoftmax.cli.races.rows import Case, as_arrays

ROUNDS = 7
TURN = 0.003  # seconds at least, of many calls if they are short
PAUSE = 0.008
LONG_PAUSE = 0.12  # after calls of milliseconds: threads of OpenBLAS spin for some 75 ms more
SLOW = 0.2  # seconds a call: such a provider has three turns

Call = Callable[[], Any]


def keep_to_cores(n: int) -> None:
    """Hold this process to n of its cores, before any library makes its threads: JAX knows no other way."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-n:]))


@contextlib.contextmanager
def same_threads(n: int) -> Iterator[None]:
    """Inside a with block every library may use n threads, and this process n cores."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    keep_to_cores(n)
    if find_spec("torch"):
        import torch

        torch.set_num_threads(n)
    try:
        with threadpool_limits(n), num_threads(n):
            yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def take_turns(calls: Mapping[str, Call]) -> dict[str, float]:
    """The median of the seconds a call of each provider, over rounds in which each has one turn."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(TURN / max(time.perf_counter() - start, 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    pause = PAUSE if min(counts.values()) > 1 else LONG_PAUSE
    for turn in range(ROUNDS):
        for name, call in calls.items():
            if turn >= 3 and statistics.median(seconds[name]) > SLOW:
                continue
            time.sleep(pause)
            call()
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(times) for name, times in seconds.items()}


def expected_of(case: Case) -> list[np.ndarray]:
    """The right answer, by plain NumPy in float64."""
    wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in case.inputs.items()}
    return as_arrays(NUMPY[case.operation](**wide, axis=case.axis))


def check(result: Any, expected: Sequence[np.ndarray], case: Any) -> float:
    """The largest error in units of eps and of the largest expected value; fails where it is no rounding error."""
    eps, worst = np.finfo(case.dtype).eps, 0.0
    for got, right in zip(as_arrays(result), expected, strict=True):
        if got.dtype != case.dtype:
            raise AssertionError(f"{got.dtype} instead of {case.dtype}")
        scale = np.abs(right).max() * eps
        worst = max(worst, float(np.abs(got - right).max() / scale))
    if not worst < 64 * np.sqrt(max(case.shape)):
        raise AssertionError(f"off by {worst} eps")
    return worst
