"""The race: all providers of a case take turns in one process, after the answer of each is known to be right.

`--threads N` gives each N threads, and this process N cores. The cases and the providers are in fastsoftmax/cli/races.
`--isa avx2` holds all of them to that instruction set (isa.py).
"""

import sys

from isa import SWITCHES, hold_to

hold_to(sys.argv)  # before any library is loaded

import numpy as np
import pytest
from ceilings import ceilings

from fastsoftmax.cli.races.machine import machine
from fastsoftmax.cli.races.rows import PROVIDERS, installed
from fastsoftmax.cli.races.turns import check, expected_of, keep_to_cores, same_threads, take_turns


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads that each provider may use (default: 1)")
    parser.addoption("--jax-old", metavar="PYTHON", help="a Python that has another JAX, to take part in bench_sgd.py")
    parser.addoption("--isa", choices=list(SWITCHES), help="hold all libraries to it (default: what each takes)")


def pytest_configure(config):
    keep_to_cores(config.getoption("--threads"))


@pytest.fixture(scope="session")
def threads(request):
    n = request.config.getoption("--threads")
    with same_threads(n):
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
