"""Compiled code counts references to the arrays that it makes, and to no others: none leaks, none is freed twice."""

import os
import subprocess
import sys

import pytest
from helpers import JIT

EVERY_KERNEL = """
import gc

from numba.core.runtime import rtsys

import fastsoftmax as fs
from fastsoftmax import _threads
from fastsoftmax.cli.warmup import CALLS

fs.set_num_threads(2)
for small in (_threads.SMALL, 0):  # all calls are small, or none
    _threads.SMALL = small
    for dtype in ("float32", "float64"):
        for calls in CALLS:
            for call in calls(dtype):
                call()
    gc.collect()
    stats = rtsys.get_allocation_stats()
    print(stats.alloc, stats.free, stats.mi_alloc, stats.mi_free)
"""


@pytest.mark.skipif(not JIT, reason="without the JIT Python counts references")
def test_what_kernels_allocate_is_freed_once():
    environment = {**os.environ, "NUMBA_NRT_STATS": "1"}
    process = subprocess.run([sys.executable, "-c", EVERY_KERNEL], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    for line in process.stdout.splitlines():
        allocated, freed, arrays, freed_arrays = map(int, line.split())
        assert allocated == freed > 0
        assert arrays == freed_arrays
    assert len(process.stdout.splitlines()) == 2
