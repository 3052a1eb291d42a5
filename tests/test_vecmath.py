"""exp, log1p, the maximum and the sums: against mpmath and exact sums, over the range that softmax uses."""

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from helpers import FLOATS, JIT, rng, same_bits

import fastsoftmax as fs
from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.rows import elementary, vecmath
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, splat, store_masked

COUNT = 1_000_000 if JIT else 2_000


@kernel
def exp_of(x, out):
    source, target, width = pointer(x), pointer(out), lanes(x)
    for j in range(0, x.shape[0], width):
        count = min(width, x.shape[0] - j)
        store_masked(elementary.exp(load_masked(source, j, count, 0)), target, j, count)


@kernel
def log1p_of(x, out):
    for j in range(x.shape[0]):
        out[j] = elementary.log1p(x[j])


@kernel
def max_of_row(x):
    return vecmath.max_row(pointer(x), 0, x.shape[0])


@kernel
def dot_of(x, y):
    return vecmath.dot_row(pointer(x), 0, pointer(y), 0, x.shape[0])


def applied(function, x):
    out = np.empty_like(x)
    with np.errstate(all="ignore"):
        function(x, out)
    return out


def exact_exp(x):
    """Exp in more digits than the dtype has: longdouble for float32; for float64, mpmath at 50 digits."""
    if x.dtype == np.float32:
        return np.exp(x.astype(np.longdouble))
    with mpmath.workdps(50):
        exact = [mpmath.exp(mpmath.mpf(float(v))) for v in x]
        return np.array([np.longdouble(str(v)) for v in exact])


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_is_within_one_and_a_tenth_ulp(dtype):
    lowest, highest = (-87.0, 60.0) if dtype == np.float32 else (-708.0, 500.0)
    x = np.linspace(lowest, highest, COUNT if dtype == np.float32 else COUNT // 200).astype(dtype)
    exact = exact_exp(x)
    error = np.abs(applied(exp_of, x) - exact) / np.spacing(exact.astype(dtype))
    assert error.max() < 1.1


@pytest.mark.skipif(not JIT, reason="as many numbers as these are for compiled code")
def test_exp_of_every_64th_float32():
    """bench/accuracy.py goes over all of them and finds 0.94 ULP."""
    bits = np.arange(0, np.float32(104).view(np.uint32), 64, dtype=np.uint32)
    for x in (-bits.view(np.float32), bits.view(np.float32)[: np.searchsorted(bits, np.float32(60).view(np.uint32))]):
        for part in np.array_split(x, 8):
            exact = np.exp(part.astype(np.float64))
            ulp = np.maximum(np.spacing(exact.astype(np.float32)), np.finfo(np.float32).smallest_subnormal)
            assert (np.abs(applied(exp_of, part) - exact) / ulp).max() < 0.95


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_of_numpys_own_validation_set(dtype):
    """Hard inputs with their right results, rounded; ours may be off by one unit of the last place, NumPy's by more."""
    path = Path(np._core.__file__).parent / "tests" / "data" / "umath-validation-set-exp.csv"
    if not path.exists():
        pytest.skip("NumPy is installed without its validation set of exp")
    lines = [line.split(",") for line in path.read_text().splitlines() if line.startswith(f"np.{dtype.__name__},")]
    bits = np.uint32 if dtype == np.float32 else np.uint64
    x, right = (np.array([int(line[k], 16) for line in lines], bits).view(dtype) for k in (1, 2))
    taken = ~(x > (60 if dtype == np.float32 else 500))  # ours is of no larger ones
    assert taken.sum() > 90
    with np.errstate(invalid="ignore"):
        ours, right = applied(exp_of, x)[taken], right[taken]
        off = np.abs(ours.view(bits).astype(np.int64) - right.view(bits).astype(np.int64))
    assert (np.isnan(ours) == np.isnan(right)).all()
    assert off[~np.isnan(right)].max() <= 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_below_the_normal_range_is_right_to_the_last_subnormal(dtype):
    x = np.linspace(-104, -87, 400).astype(dtype) if dtype == np.float32 else np.linspace(-746, -708, 400)
    error = np.abs(applied(exp_of, x) - exact_exp(x)) / np.finfo(dtype).smallest_subnormal
    assert error.max() < 1.1


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_of_special_values(dtype):
    payload = np.array([0x7FC00001, 0xFFFFFFFF], np.uint32).view(np.float32).astype(dtype)
    x = np.array([0.0, -0.0, -np.inf, -1e30, -1e5, np.nan, -np.nan, *payload], dtype)
    assert same_bits(applied(exp_of, x), np.array([1, 1, 0, 0, 0] + [np.nan] * 4, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_log1p_is_within_one_ulp(dtype):
    least = -44 if dtype == np.float32 else -300
    x = np.concatenate([10 ** rng().uniform(least, 9, 4000), np.arange(100.0), [0.0, 0.41421356, 0.4142136, 1e-17]])
    x = np.concatenate([x, np.linspace(0, 3, 4000)]).astype(dtype)
    with mpmath.workdps(50):
        exact = np.array([np.longdouble(str(mpmath.log1p(mpmath.mpf(float(v))))) for v in x])
    ulp = np.maximum(np.spacing(exact.astype(dtype)), np.finfo(dtype).smallest_subnormal)
    error = np.abs(applied(log1p_of, x) - exact) / ulp
    assert error.max() < 1.0
    assert np.isnan(applied(log1p_of, np.array([np.nan], dtype))[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", [0, 1, 5, 8, 16, 31, 64, 65, 511, 513])
def test_max_row_passes_over_nan(dtype, length):
    x = rng(length).standard_normal(length).astype(dtype)
    assert max_of_row(x) == (x.max() if length else -np.inf)
    for position in range(0, length, 7):
        y = x.copy()
        y[position] = np.nan
        assert max_of_row(y) == np.fmax.reduce(y, initial=-np.inf)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", [0, 1, 100, 512, 513, 5000, 100_000])
def test_sums_do_not_lose_digits_with_the_length(dtype, length):
    if not JIT and length > 5000:
        pytest.skip("a Python loop over 100000 elements proves nothing more")
    x = np.full(length, 0.1, dtype) + rng(1).uniform(0, 1e-3, length).astype(dtype)
    y = rng(2).uniform(0.5, 1, length).astype(dtype)
    eps = np.finfo(dtype).eps
    total = math.fsum(x)
    assert abs(vecmath.sum_row(x) - total) <= 8 * eps * total
    total = math.fsum(x.astype(np.float64) * y.astype(np.float64))
    assert abs(dot_of(x, y) - total) <= 8 * eps * total


def test_an_infinite_sum_is_infinite_and_not_nan():
    assert vecmath.sum_row(np.array([1.0, np.inf])) == np.inf
    assert vecmath.sum_row(np.array([-np.inf] + [1.0] * 600)) == -np.inf
    assert np.isnan(vecmath.sum_row(np.array([np.inf, -np.inf])))


@kernel
def sum_of_parts(like, n, value):
    return vecmath.sum_values(pointer(like), n, _each, (value,))


@inlined
def _each(total, j, count, value):
    return total + splat(total, value)


@pytest.mark.skipif(not JIT, reason="billions of additions are for compiled code")
def test_sums_of_billions_lose_no_digits():
    """What compensates for rounding is itself rounded: in one go, a thousandth of such a sum of float32 is lost."""
    n, value = 2**31, np.float32(2.06e-9)
    assert sum_of_parts(np.empty(0, np.float32), n, value) == pytest.approx(n * float(value), rel=1e-7)


@pytest.mark.skipif(not JIT, reason="as many numbers as these are for compiled code")
def test_logsumexp_of_very_long_rows_and_columns():
    """The pages of np.zeros are one page of memory, as long as nobody writes."""
    row = np.zeros(2**28, np.float32)
    row[-1] = 12
    assert fs.logsumexp(row) == pytest.approx(np.log(row.size - 1 + np.exp(12.0)), rel=3e-7)
    columns = np.zeros((2**24 + 2**22, 4), np.float32)  # float32 cannot count that far
    np.testing.assert_allclose(fs.logsumexp(columns, axis=0), np.log(len(columns)), rtol=2e-7)
    columns[0] = -1e30
    columns[-1] = 8
    np.testing.assert_allclose(fs.logsumexp(columns, axis=0), np.log(len(columns) - 2 + np.exp(8.0)), rtol=2e-7)
