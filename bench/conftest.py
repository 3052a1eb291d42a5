"""The race: all providers of a case take turns in one process, after the answer of each is known to be right.

`--threads N` gives each N threads, and this process N cores; ratios hold within one race alone, because the machine's
speed changes from minute to minute. Between two turns there is a pause, until the threads that spin have gone to sleep.
`--isa avx2` holds all of them to that instruction set (isa.py).
"""

import os
import statistics
import sys
import time
from importlib.util import find_spec

from isa import SWITCHES, hold_to, machine

hold_to(sys.argv)  # before any library is loaded

import numpy as np
import pytest
from cases import NUMPY, PROVIDERS, as_arrays, installed
from ceilings import ceilings
from threadpoolctl import threadpool_limits

import fastsoftmax as fs

ROUNDS = 7
TURN = 0.003  # seconds at least, of many calls if they are short
PAUSE = 0.008
LONG_PAUSE = 0.12  # after calls of milliseconds: threads of OpenBLAS spin for some 75 ms more
SLOW = 0.2  # seconds a call: such a provider has three turns


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads that each provider may use (default: 1)")
    parser.addoption("--jax-old", metavar="PYTHON", help="a Python that has another JAX, to take part in bench_sgd.py")
    parser.addoption("--isa", choices=list(SWITCHES), help="hold all libraries to it (default: what each takes)")


def pytest_configure(config):
    # Before any library makes its threads: JAX has no other way to be held to some.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-config.getoption("--threads") :]))


@pytest.fixture(scope="session")
def threads(request):
    n = request.config.getoption("--threads")
    if find_spec("torch"):
        import torch

        torch.set_num_threads(n)
    with threadpool_limits(n), fs.num_threads(n):
        yield n


@pytest.fixture
def race(benchmark, threads):
    """Time all providers of a case (of cases.py, unless others are given, with the answer that is expected of them).

    pytest-benchmark shows fastsoftmax, and keeps the medians of all in its JSON.
    """

    def run(case, providers=None, expected=None):
        calls, errors = {}, {}
        expected = expected_of(case) if expected is None else expected
        for name, provider in (providers or {name: PROVIDERS[name] for name in installed()}).items():
            call = provider(case, threads)
            if call is not None:
                result = call()  # compiles, too
                if not name.startswith("ceiling"):
                    errors[name] = check(result, expected, case)
                calls[name] = call
        del expected
        if case.name == "softmax" and len(case.shape) == 2:
            calls |= {f"ceiling {name}": loop for name, loop in ceilings(int(np.prod(case.shape)), case.dtype).items()}
        medians = {}
        if not benchmark.disabled:
            medians = take_turns(calls)
        benchmark.group = f"{case.name} {'x'.join(map(str, case.shape))} {case.dtype}"
        benchmark.extra_info.update(
            operation=case.name,
            shape=list(case.shape),
            dtype=case.dtype,
            threads=threads,
            bytes=case.n_bytes,
            flops=getattr(case, "n_flops", None),
            medians=medians,
            errors=errors,
            **machine(),
        )
        benchmark.pedantic(calls["fastsoftmax"], rounds=3)

    return run


def take_turns(calls):
    """The median of the seconds a call of each provider, over rounds in which each has one turn."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(TURN / max(time.perf_counter() - start, 1e-7)))
    seconds = {name: [] for name in calls}
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


def expected_of(case):
    """The right answer, by plain NumPy in float64."""
    wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in case.inputs.items()}
    return as_arrays(NUMPY[case.operation](**wide, axis=case.axis))


def check(result, expected, case):
    """The largest error in units of eps and of the largest expected value; fails where it is no rounding error."""
    eps, worst = np.finfo(case.dtype).eps, 0.0
    for got, right in zip(as_arrays(result), expected, strict=True):
        assert got.dtype == case.dtype
        scale = np.abs(right).max() * eps
        worst = max(worst, float(np.abs(got - right).max() / scale))
    assert worst < 64 * np.sqrt(max(case.shape)), f"off by {worst} eps"
    return worst
