"""Built-in functions made of kernels: what they give, and that nothing is left behind however a call ends."""

import ctypes
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from types import SimpleNamespace

import forked
import numpy as np
import pytest
from helpers import FLOATS, JIT, locked, same_bits, uneven

from fastsoftmax.kernels.jit import layout, whole_call, whole_calls
from fastsoftmax.kernels.jit.entries import LARGE

SMALL = 1000
FEW = {"float32": SMALL, "float64": SMALL}
needs_jit = pytest.mark.skipif(not JIT, reason="about machine code")


def doubled():
    """A new one: each is compiled for the dtypes that it meets, in their order."""

    @whole_call(3, 3, small=FEW)
    def double(x, out, team):
        if x.size and x[0, 0, 0] == -1:
            raise ArithmeticError("-1 is first")
        if x.size and x[0, 0, 0] == -2:
            return False
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                for k in range(x.shape[2]):
                    out[i, j, k] = 2 * x[i, j, k] + 100 * i + 10 * j + k + team
        return True

    return double


@whole_call(2, 1, 2, small=FEW, counts_references=True)
def weighted(x, labels, out, team):
    out[:] = x
    if labels.shape[0] == 0:
        return -1.0
    return 1.0 * labels[-1] + 10.0 * x.shape[0] + 100.0 * x.shape[1]


@whole_call(2, 1, 1, small=FEW, counts_references=True)
def total(x, labels, out, team):
    for n in range(out.shape[0]):
        out[n] = x[n, 0] + labels[n]
    return -1.0 if labels.shape[0] == 0 else x.sum() + labels.sum()


@pytest.mark.parametrize("dtypes", [FLOATS, FLOATS[::-1]])
def test_either_dtype_may_come_first(dtypes):
    double = doubled()
    for dtype in dtypes * 2:
        x = uneven((2, 3, 4), dtype)
        for axis in (1, -2):
            found = double.call(x, None, axis)
            i, j, k = np.indices(x.shape)
            assert same_bits(found, 2 * x + (100 * i + 10 * j + k).astype(dtype))
    assert len(double.signatures) == (2 if JIT else 0)


def test_a_first_call_may_be_wrapped():
    double, x = doubled(), np.zeros((2, 3))
    first = double.call
    double.call = lambda *arguments: first(*arguments)
    for dtype in FLOATS:
        assert double.call(x.astype(dtype), None, -1).dtype == dtype


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_axis_parts_the_dimensions(dtype):
    double, x = doubled(), np.zeros((2, 3, 4, 5), dtype)
    for axis, shape in ((0, (1, 2, 60)), (1, (2, 3, 20)), (2, (6, 4, 5)), (3, (24, 5, 1)), (-4, (1, 2, 60))):
        i, j, k = np.indices(shape)
        assert same_bits(double.call(x, None, axis), (100 * i + 10 * j + k).reshape(x.shape).astype(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_losses_with_and_without_an_array(dtype):
    x, labels, out = uneven((2, 3, 4), dtype), np.arange(6).reshape(2, 3), np.empty((2, 3, 4), dtype)
    loss, array = weighted.call(x, labels, out)
    assert array is out
    assert (loss, type(loss)) == (465.0, dtype)
    assert same_bits(out, x)
    loss, array = weighted.call(x, labels, None)
    assert loss == 465
    assert same_bits(array, x)
    assert weighted.call(x[:0], labels[:0], None) is total.call(x[0, :0], labels[0, :0], None) is None


@pytest.mark.parametrize("dtype", FLOATS)
def test_losses_with_and_without_one_number_for_each_row(dtype):
    x, labels, out = np.ones((2, 3), dtype), np.array([5, 6]), np.empty(2, dtype)
    loss, nothing = total.call(x, labels, None)
    assert (loss, type(loss), nothing) == (17.0, dtype, None)
    loss, array = total.call(x, labels, out)
    assert (loss, array is out) == (17.0, True)
    assert (out == [6, 7]).all()
    (other,) = {np.float32, np.float64} - {dtype}
    locked = np.zeros(2, dtype)
    locked.flags.writeable = False
    for odd in (np.zeros(3, dtype), np.zeros(2, other), np.zeros(2, np.int64), np.zeros((2, 1), dtype), locked, [0, 0]):
        assert total.call(x, labels, odd) is None
    assert (np.asarray(out) == [6, 7]).all()


def test_much_work_waits_until_a_team_is_said():
    double = doubled()
    few, many = np.zeros((SMALL - 1, 1)), np.zeros((SMALL, 1))
    for _ in range(2):
        assert double.call(few, None, -1).shape == few.shape
        assert double.call(many, None, -1) is LARGE
    assert double.call(many, None, -1, 0)[0, 0] == 0
    out = np.full_like(many, 7.0)
    assert double.call(many, out, -1) is LARGE
    assert (out == 7).all()
    assert weighted.call(many, np.zeros(SMALL, int), out) is LARGE
    assert total.call(many, np.zeros(SMALL, int), None) is LARGE
    assert (out == 7).all()
    assert total.call(many, np.ones(SMALL, int), None, 0) == (SMALL, None)


@needs_jit
def test_a_team_is_handed_on():
    assert doubled().call(np.zeros((1, 1)), None, -1, 12345)[0, 0] == 12345


@needs_jit
def test_a_kernel_that_raises():
    double = doubled()
    x = np.full((2, 3), -1.0)
    for _ in range(3):
        for arguments in ((x, None, -1), (x, x, -1), (x, None, -1, 0)):
            with pytest.raises(ArithmeticError, match="-1 is first"):
                double.call(*arguments)


@needs_jit
def test_no_reference_is_lost_and_no_memory(monkeypatch):
    double, raises, refused = doubled(), np.full((30, 30), -1.0), np.full((30, 30), -2.0)
    x, labels, out, large = np.zeros((30, 30)), np.zeros(30, int), np.empty((30, 30)), np.zeros((40, 30))
    row = np.empty(30)

    def calls():
        for target in (None, out):
            double.call(x, target, -1), double.call(x, target, -1, 0), double.call(large, target, -1)
            weighted.call(x, labels, target), weighted.call(x[:0], labels[:0], target), double.call(refused, target, -1)
            with pytest.raises(ArithmeticError):
                double.call(raises, target, -1)
        total.call(x, labels, None), total.call(x, labels, row), total.call(x, labels[:-1], row)
        for odd in (x.T[::2], np.float32(1), "x", None):
            double.call(odd, x, -1), double.call(x, odd, -1), double.call(x, out, odd)

    things = x, labels, out, row, large, raises, refused, 0.0, LARGE, x.dtype
    calls()
    before = [sys.getrefcount(thing) for thing in things]
    tracemalloc.start()
    try:
        calls()
        held = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            calls()
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    assert max(abs(sys.getrefcount(thing) - count) for thing, count in zip(things, before, strict=True)) < 50
    assert grown < 50_000  # 200 arrays of 7200 bytes would be 1.4 million


@needs_jit
def test_other_threads_of_python_run_where_a_team_was_said():
    @whole_call(2, 2, small=FEW)
    def slow(x, out, team):
        for i in range(3_000_000):
            out[0, 0] = np.exp(out[0, 0] - i) + x[0, 0]
        return True

    ran, ends = [0], threading.Event()

    def run():
        while not ends.is_set():
            ran[0] += 1
            time.sleep(1e-4)

    def went_on(*team):
        for _ in range(20):
            before = ran[0]
            slow.call(x, out, *team)
            if ran[0] != before:
                return True
        return False

    x, out = np.zeros((2, 2)), np.zeros((2, 2))
    slow.call(x, out)
    interval, other = sys.getswitchinterval(), threading.Thread(target=run)
    sys.setswitchinterval(1000)  # so that a thread only goes on where another lets it
    try:
        other.start()
        time.sleep(0.01)
        assert went_on(0)
        assert not went_on()
    finally:
        ends.set()
        sys.setswitchinterval(interval)
        other.join()


@needs_jit
@pytest.mark.parametrize("first", ["float32", "float64"])
def test_what_is_kept_on_disk_works_in_another_process(first):
    """Addresses of objects and functions differ there."""
    code = f"""
import numpy as np, fastsoftmax as fs
for dtype in ("{first}", "float32", "float64"):
    z, y = np.array([[1.0, 2.0], [3.0, 1.0]], dtype), np.array([0, 1])
    fs.softmax(z), fs.cross_entropy(z, y)
    loss, grad = fs.cross_entropy_value_and_grad(z, y)
    print(fs.softmax(z).dtype, type(loss).__name__, grad.dtype, round(float(fs.softmax(z).sum()), 6))
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        lines = [f"{dtype} {dtype} {dtype} 2.0" for dtype in (first, "float32", "float64")]
        assert done.stdout.splitlines() == lines


def test_the_layout_is_known_here():
    """Of CPython of 64 bits, of any kind, and NumPy 2: those that the package is for."""
    assert layout.LAYOUT_IS_KNOWN
    assert layout.is_known()


class Renamed:
    """ctypes of a machine of 32 bits."""

    c_void_p, sizeof = ctypes.c_void_p, staticmethod(lambda kind: 4)


OTHER_PLACES = [("sys.implementation", SimpleNamespace(name="pypy")), ("ctypes", Renamed), ("np._core", None)]
OTHER_PLACES += [("_API", layout._API + 0x1000000)]  # of NumPy 3
OTHER_PLACES += [(name, getattr(layout, name) + 8) for name in ("TYPE", "DATA", "NDIM", "SHAPE", "DTYPE", "FLAGS")]
OTHER_PLACES += [("FLAGS", np.ndarray.__basicsize__)]


@pytest.mark.parametrize(("name", "value"), OTHER_PLACES)
def test_another_layout_is_seen(name, value, monkeypatch):
    monkeypatch.setattr(f"fastsoftmax.kernels.jit.layout.{name}", value)
    assert not layout.is_known()


@pytest.mark.parametrize("dtype", FLOATS)
def test_where_the_layout_is_not_known_python_does_the_same(dtype, monkeypatch):
    monkeypatch.setattr(whole_calls, "LAYOUT_IS_KNOWN", False)
    double, x = doubled(), locked(np.arange(24, dtype=dtype).reshape(2, 3, 4))
    i, j, k = np.indices(x.shape)
    expected = 2 * x + (100 * i + 10 * j + k).astype(dtype)
    for out in (None, np.empty_like(x)):
        found = double.call(x, out, 1)
        assert found is out or out is None
        assert same_bits(found, expected)
        assert same_bits(double.call(x, out, 1, 7 if JIT else 0), expected + dtype(7 if JIT else 0))
    assert double.call(x, x, 1) is double.call(x, None, 3) is double.call(x.T, None, 1) is None
    assert double.call(np.zeros((SMALL, 1), dtype), None, -1) is LARGE


ELSEWHERE = """
import sys, numpy as np, numba, scipy.special, sklearn
if "pypy": sys.implementation.name = "pypy"
import fastsoftmax as fs
from fastsoftmax.kernels.rows import direct
z = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 1.5]])
loss, grad = fs.cross_entropy_value_and_grad(z, np.array([0, 1]))
print([fs.softmax(z).tolist(), float(loss), grad.tolist()], type(direct.softmax.call).__name__)
"""


@needs_jit
def test_the_package_where_the_layout_is_not_known(tmp_path):
    """The same numbers, by Numba's way in; and neither way loads the other's machine code."""
    here, there = (forked.run(code, dict(os.environ), tmp_path) for code in (ELSEWHERE.replace("pypy", ""), ELSEWHERE))
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    (numbers, kind), (same_numbers, other_kind) = (done.stdout.strip().rsplit(" ", 1) for done in (here, there))
    assert numbers == same_numbers
    assert (kind, other_kind) == ("builtin_function_or_method", "method")
