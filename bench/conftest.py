"""One core for every provider; and `measure`, which checks a result before it times the call."""

import os
from importlib.util import find_spec

import numpy as np
import pytest
from cases import PROVIDERS, as_arrays
from threadpoolctl import threadpool_limits

# Before any library makes its threads: JAX has no other way to be held to one.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

THREADS = 1


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    if find_spec("torch"):
        import torch

        torch.set_num_threads(THREADS)
    with threadpool_limits(THREADS):
        yield


@pytest.fixture
def measure(benchmark):
    """Time one provider on one case, once its answer is known to be right."""

    def run(provider, case):
        call = PROVIDERS[provider](case)
        if call is None:
            pytest.skip(f"{provider} has no {case.operation} of this size")
        error = check(call(), case)  # compiles, too
        benchmark.group = f"{case.operation} {'x'.join(map(str, case.shape))} {case.dtype}"
        benchmark.extra_info.update(
            operation=case.operation,
            provider=provider,
            shape=list(case.shape),
            dtype=case.dtype,
            threads=THREADS,
            error=error,
            bytes=case.n_bytes,
        )
        benchmark(call)

    return run


def check(result, case):
    """The largest error in units of eps and of the largest expected value; fails where it is no rounding error."""
    eps, worst = np.finfo(case.dtype).eps, 0.0
    for got, expected in zip(as_arrays(result), case.expected, strict=True):
        assert got.dtype == case.dtype
        scale = np.abs(expected).max() * eps
        worst = max(worst, float(np.abs(got - expected).max() / scale))
    assert worst < 64 * np.sqrt(max(case.shape)), f"off by {worst} eps"
    return worst
