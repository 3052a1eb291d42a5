"""The same bits on every CPU with fused multiply-adds, and as AVX2 code: bits.json has their hashes."""

import json
import os
import platform
import subprocess
import sys

import bits
import pytest
from helpers import JIT
from test_target import AVX2

import fastsoftmax as fs

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT nothing is fused")


def fuses():
    from numba.core.registry import cpu_target

    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return "+fma" in features or cpu == "haswell" or platform.machine() in ("aarch64", "arm64")


def differing(found):
    expected = json.loads(bits.EXPECTED.read_text())
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bits_on_this_machine(threads):
    if not fuses():
        pytest.skip("this CPU has no fused multiply-adds")
    with fs.num_threads(threads):
        assert differing(bits.hashes(bits.groups())) == []


def test_fits_have_the_same_bits_for_any_number_of_threads():
    found = []
    for threads in (1, 2, 4):
        with fs.num_threads(threads):
            found.append(bits.hashes(bits.FITS))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 36
    assert len(set(found[0].values())) == 36


LAYER = """
import json, numba, bits, fastsoftmax as fs
groups = {groups}
with fs.num_threads(4):
    before = bits.hashes(groups)
    try:
        print("started:", numba.threading_layer())
    except ValueError:
        print("not started")
    @numba.njit(parallel=True)
    def users_own(n):
        total = 0
        for i in numba.prange(n):
            total += i
        return total
    users_own(1000)
    print(numba.threading_layer())
    print(json.dumps([before, bits.hashes(groups)]))
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_bits_do_not_depend_on_numbas_threading_layer(layer):
    """Threads here are the package's own: no call and no fit starts Numba's, which leave the bits as they are."""
    groups = ["33x10 float32", "3x1000 float64", "layer 101x64x100 float32", "epochs float32", "fits float32"]
    settings = {**os.environ, "NUMBA_THREADING_LAYER": layer, "PYTHONPATH": os.path.dirname(bits.__file__)}
    settings["LD_LIBRARY_PATH"] = f"{sys.prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"  # pip's tbb lies there
    command = [sys.executable, "-c", LAYER.format(groups=groups)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip(f"the {layer} threading layer is not installed")
    assert done.returncode == 0, done.stderr[-3000:]
    *layers, found = done.stdout.splitlines()
    assert layers == ["not started", layer]
    with fs.num_threads(1):
        expected = bits.hashes(groups)
    assert json.loads(found) == [expected, expected]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="code for AVX2 is made and run on x86")
def test_fits_have_the_same_bits_as_code_for_avx2():
    settings = {**os.environ, **AVX2}
    command = [sys.executable, bits.__file__, *bits.FITS]
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == bits.hashes(bits.FITS)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="code for AVX2 is made and run on x86")
def test_bits_of_code_for_avx2():
    settings = {**os.environ, **AVX2}
    done = subprocess.run([sys.executable, bits.__file__], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert differing(json.loads(done.stdout)) == []
