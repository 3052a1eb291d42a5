"""softmax, log_softmax, logsumexp, alone and beside their products: exact values, oracles, axes, promises."""

import mpmath
import numba
import numpy as np
import pytest
import scipy.special
from helpers import FLOATS, JIT, PRODUCTS, SHAPES, nasty_rows, point, rng, same_bits, tolerance, uneven
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastsoftmax as fs
from fastsoftmax import kernels, reference
from fastsoftmax.kernels.rows.vecmath import STREAM_BYTES

MAPS = ("softmax", "log_softmax", "logsumexp")


# Against SciPy, the reference and mpmath


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MAPS)
def test_maps_equal_scipy_and_the_reference(name, shape, dtype):
    logits = uneven(shape, dtype)
    result = getattr(fs, name)(logits)
    rtol = 100 * tolerance(dtype, shape[-1])
    atol = 0 if name == "softmax" else 4 * np.finfo(dtype).eps  # both oracles lose the digits of log(1 + tiny)
    for oracle in (
        getattr(scipy.special, name)(logits.astype(np.float64), axis=-1),
        getattr(fs.reference, name)(logits),
    ):
        np.testing.assert_allclose(result, oracle, rtol=rtol, atol=atol)
    assert result.dtype == dtype


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [2, 10, 100, 700])
def test_relative_error_of_a_probability_keeps_its_promise(columns, dtype):
    """At most (|x - max| + 8) eps, against 50 digits; row sums are 1 within C eps."""
    eps = np.finfo(dtype).eps
    logits = (rng(columns).standard_normal((4, columns)) * [[0.1], [1], [10], [25]]).astype(dtype)
    probs = fs.softmax(logits)
    with mpmath.workdps(50):
        for row, values in zip(logits, probs, strict=True):
            terms = [mpmath.exp(mpmath.mpf(float(x)) - mpmath.mpf(float(row.max()))) for x in row]
            total = mpmath.fsum(terms)
            for x, p, term in zip(row, values, terms, strict=True):
                if term / total > np.finfo(dtype).tiny:
                    error = abs(mpmath.mpf(float(p)) * total / term - 1)
                    assert error <= (float(row.max()) - float(x) + 8) * eps
    assert (np.abs(probs.astype(np.float64).sum(axis=1) - 1) <= max(columns, 2) * eps).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.skipif(not JIT, reason="as long a row as this is for compiled code")
def test_long_rows_of_equal_elements_keep_the_promise(dtype):
    """The sum's rounding errors all go one way here, which is what plain accumulation fails at."""
    eps = np.finfo(dtype).eps
    for value in (-0.3, -1.0, -2.7):
        logits = np.full((1, 128_256), value, dtype)
        logits[0, 0] = 0
        below = mpmath.exp(mpmath.mpf(float(dtype(value))))
        exact = 1 / (1 + (logits.shape[1] - 1) * below)
        assert abs(mpmath.mpf(float(fs.softmax(logits)[0, 0])) / exact - 1) <= 8 * eps


def test_log_values_keep_digits_that_one_plus_tiny_would_lose():
    assert fs.logsumexp([0.0, -40.0]) == pytest.approx(4.248354255291589e-18, rel=1e-14)
    assert fs.log_softmax([0.0, -40.0])[0] == pytest.approx(-4.248354255291589e-18, rel=1e-14)
    assert fs.log_softmax(np.float32([0.0, -20.0]))[0] == pytest.approx(-2.0611536e-09, rel=1e-6)


# Derivatives


# The contract table


def test_exact_values():
    assert same_bits(fs.softmax([1e4, 0.0, -1e4]), np.array([1.0, 0.0, 0.0]))
    assert same_bits(fs.log_softmax([1e4, 0.0, -1e4]), np.array([0.0, -1e4, -2e4]))
    assert same_bits(fs.softmax([7.0] * 4), np.full(4, 0.25))
    assert same_bits(fs.softmax(np.float32([[5.0], [-3.0]])), np.ones((2, 1), np.float32))
    assert same_bits(fs.softmax_vjp([[1.0], [1.0]], [[3.0], [4.0]]), np.zeros((2, 1)))
    assert fs.logsumexp([1000.0, 1000.0]) == 1000 + np.log(2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", nasty_rows())
def test_nasty_rows(name, dtype):
    with np.errstate(over="ignore"):
        row = np.array(nasty_rows()[name], dtype)
    finite = np.isfinite(row.max())
    probs, log_probs = fs.softmax(row), fs.log_softmax(row)
    if not finite:
        assert np.isnan(probs).all()
        assert np.isnan(log_probs).all()
    else:
        assert (probs[row == -np.inf] == 0).all()
        assert probs.sum() == pytest.approx(1)
        with np.errstate(divide="ignore", over="ignore"):
            expected = scipy.special.softmax(row.astype(np.longdouble)).astype(dtype)
        np.testing.assert_allclose(probs, expected, rtol=400 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    expected = scipy.special.logsumexp(row.astype(np.longdouble))
    np.testing.assert_allclose(fs.logsumexp(row), expected, rtol=np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("columns", [3, 40, 600])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_row_does_not_touch_its_neighbours(columns, bad):
    logits = uneven((5, columns))
    clean = {name: getattr(fs, name)(logits) for name in MAPS}
    logits[2, columns // 2] = bad
    for name in MAPS:
        result = getattr(fs, name)(logits)
        assert same_bits(np.delete(result, 2, axis=0), np.delete(clean[name], 2, axis=0))
        assert np.isnan(result[2]).all() or (name == "logsumexp" and result[2] == bad)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", [(0, 3), (0, 40), (0, 700), (3, 0), (0, 0), (0,), (2, 0, 3)])
def test_empty_arrays_give_empty_results(name, shape):
    result = getattr(fs, name)(np.empty(shape, np.float32))
    assert result.dtype == np.float32
    assert np.shape(result) == (shape if name != "logsumexp" else shape[:-1])
    if name == "logsumexp":
        assert (result == -np.inf).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("columns", [5, 530])
def test_where(name, columns):
    logits, where = uneven((6, columns)), rng(3).uniform(size=(6, columns)) < 0.5
    where[1], where[2] = False, True
    logits[3, ~where[3]] = np.nan  # what is hidden does not count, whatever it is
    logits[4, where[4]] = np.nan
    logits[5, where[5]] = -np.inf
    result = getattr(fs, name)(logits, where=where)
    hidden = 0.0 if name == "softmax" else -np.inf
    assert (result[~where] == hidden).all()
    assert same_bits(result[2], getattr(fs, name)(logits[2]))
    assert np.isnan(result[4][where[4]]).all()
    assert np.isnan(result[5][where[5]]).all()
    for n in (0, 3):
        expected = getattr(scipy.special, name)(logits[n, where[n]])
        np.testing.assert_allclose(result[n, where[n]], expected, rtol=1e-13)
    np.testing.assert_allclose(result, getattr(fs.reference, name)(logits, where=where), rtol=1e-12, atol=1e-15)
    if name == "softmax":
        assert np.isfinite(fs.softmax_vjp(result[:4], rng().standard_normal((4, columns)))).all()


def test_where_broadcasts_and_logsumexp_takes_it():
    logits = uneven((4, 3))
    where = np.array([True, False, True])
    np.testing.assert_allclose(fs.logsumexp(logits, where=where), scipy.special.logsumexp(logits[:, [0, 2]], axis=1))
    assert (fs.logsumexp(logits, where=False) == -np.inf).all()
    assert (fs.softmax(logits, where=False) == 0).all()
    assert (fs.log_softmax(logits, where=False) == -np.inf).all()
    np.testing.assert_allclose(fs.softmax(logits, axis=0, where=where)[:, 1], 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1, 3.0, np.float32(2)])
def test_temperature(dtype, temperature):
    logits = uneven((5, 12), dtype)
    for name in ("softmax", "log_softmax"):
        expected = getattr(scipy.special, name)(logits.astype(np.longdouble) / temperature, axis=-1)
        result = getattr(fs, name)(logits, temperature=temperature)
        spread = np.ptp(logits, axis=-1, keepdims=True) / temperature
        bound = (2 * spread + 16) * np.finfo(dtype).eps
        lost = np.finfo(dtype).tiny if name == "softmax" else np.finfo(np.longdouble).eps  # by the oracle
        assert (np.abs(result - expected) <= bound * np.abs(expected) + lost).all()
        assert result.dtype == dtype


# Axes, shapes, dtypes


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3, (0, 2), (2, 1), (0, 1, 2), None, ()])
@pytest.mark.parametrize("name", MAPS)
def test_any_axis(name, axis):
    logits = uneven((3, 4, 5))
    result = getattr(fs, name)(logits, axis)
    if axis == ():
        expected = {"softmax": np.ones_like(logits), "log_softmax": 0 * logits, "logsumexp": logits}[name]
    else:
        expected = getattr(scipy.special, name)(logits, axis=axis)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=0 if name == "softmax" else 1e-15)
    assert np.shape(result) == np.shape(expected)
    assert result.flags.c_contiguous


def test_keepdims_and_scalars():
    logits = uneven((2, 3, 4))
    assert fs.logsumexp(logits, axis=(0, 2), keepdims=True).shape == (1, 3, 1)
    assert fs.logsumexp(logits, axis=None, keepdims=True).shape == (1, 1, 1)
    assert isinstance(fs.logsumexp(np.float32([1, 2])), np.float32)
    for axis in (-1, 0, None, ()):
        assert fs.softmax(5.0, axis=axis) == 1
        assert fs.logsumexp(5.0, axis=axis) == 5
    assert isinstance(fs.softmax(np.float32(5)), np.float32)


@pytest.mark.parametrize("name", MAPS)
def test_dtypes_in_and_out(name):
    function = getattr(fs, name)
    for dtype in (np.float16, np.float32, np.float64):
        assert function(np.ones((2, 3), dtype)).dtype == dtype
    for dtype in (np.int8, np.uint16, np.int64, np.uint64, np.bool_):
        values = np.array([[1, 0, 1], [0, 0, 1]], dtype)
        assert same_bits(function(values), function(values.astype(np.float64)))
    half = rng().standard_normal((3, 9)).astype(np.float16)
    assert same_bits(function(half), function(half.astype(np.float32)).astype(np.float16))


# Columns: an axis that is not the last

COLUMNS = [(2, 3, 4), (1, 40, 5), (3, 17, 16), (2, 7, 33), (1, 300, 20)]
COLUMNS = COLUMNS if JIT else COLUMNS[:3]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", COLUMNS)
def test_columns_equal_rows_of_the_array_turned_round(shape, dtype):
    logits, vector, where = uneven(shape, dtype), uneven(shape, dtype, seed=1), rng(5).uniform(size=shape) < 0.7
    where[0, :, 0] = False

    def turned(array):
        return np.ascontiguousarray(np.moveaxis(array, 1, -1))

    scale = np.abs(turned(logits)).max(axis=-1, keepdims=True) + 1
    rtol = 100 * tolerance(dtype, shape[1])
    for name in MAPS:
        for mask in (None, where):
            by_row = getattr(fs, name)(turned(logits), where=None if mask is None else turned(mask))
            got = getattr(fs, name)(logits, 1, where=mask)
            got = got if name == "logsumexp" else turned(got)
            atol = 0 if name == "softmax" else 4 * np.finfo(dtype).eps * scale.max()
            np.testing.assert_allclose(got, by_row, rtol=rtol, atol=atol)
    np.testing.assert_allclose(
        turned(fs.softmax(logits, 1, temperature=3.0)), fs.softmax(turned(logits), temperature=3.0), rtol=rtol
    )
    for name in PRODUCTS:
        at = point(name, turned(logits))
        by_row = getattr(fs, name)(at, turned(vector))
        got = turned(getattr(fs, name)(np.ascontiguousarray(np.moveaxis(at, -1, 1)), vector, 1))
        size = np.abs(turned(vector)).max(axis=-1, keepdims=True) * (1 if name != "log_softmax_vjp" else shape[1])
        assert (np.abs(got - by_row) <= 4 * tolerance(dtype, shape[1]) * size).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_column_does_not_depend_on_the_columns_beside_it_nor_on_the_layout(dtype):
    logits, vector = uneven((3, 21, 45), dtype), uneven((3, 21, 45), dtype, seed=1)
    for name in (*MAPS, *PRODUCTS):
        arrays = (logits,) if name in MAPS else (fs.softmax(logits, 1), vector)
        together = getattr(fs, name)(*arrays, axis=1)
        for first, last in ((0, 4), (3, 19), (40, 45), (7, 45)):
            some = getattr(fs, name)(*[a[1:, :, first:last] for a in arrays], axis=1)
            assert same_bits(some, together[1:, ..., first:last])
        fortran = getattr(fs, name)(*[np.asfortranarray(a) for a in arrays], axis=1)
        assert same_bits(fortran, together)
        if name != "logsumexp":
            out = arrays[0].copy()
            rest = arrays[1:]
            assert getattr(fs, name)(out, *rest, axis=1, out=out) is out
            assert same_bits(out, together)


@pytest.mark.parametrize("kind", nasty_rows())
def test_nasty_columns_give_what_nasty_rows_give(kind):
    row = np.array(nasty_rows()[kind])
    block = np.tile([[0.5], [1.0], [2.0]], (2, 1, 9))
    block[1, :, 3] = row
    for name in MAPS:
        result, clean = getattr(fs, name)(block, 1), getattr(fs, name)(block[:1], 1)
        of_row = getattr(fs, name)(row[None, :])[0]
        np.testing.assert_allclose(result[1, ..., 3], of_row, rtol=1e-14, atol=1e-16)
        beside = np.delete(result[1], 3, axis=-1)
        assert same_bits(beside, np.delete(clean[0], 3, axis=-1))


# Promises


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 10, 37, 300, 511, 512, 513, 1100] if JIT else [1, 37, 513])
def test_a_row_does_not_depend_on_the_rows_beside_it(columns, dtype):
    logits, vector = uneven((9, columns), dtype), uneven((9, columns), dtype, seed=1)
    for name in MAPS:
        function = getattr(fs, name)
        together = function(logits)
        for first in range(9):
            assert same_bits(function(logits[first : first + 1])[0], together[first])
            assert same_bits(function(logits[first:])[0], together[first])
    for name in PRODUCTS:
        at = point(name, logits)
        together = getattr(fs, name)(at, vector)
        for n in range(9):
            assert same_bits(getattr(fs, name)(at[n], vector[n]), together[n])


@pytest.mark.parametrize("columns", [7, 999, 40_001])
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.skipif(not JIT, reason="as large an array as this is for compiled code")
def test_rows_of_arrays_past_the_caches_have_the_same_bits(columns, shift):
    """Large results are streamed, by whole lines of the cache; `shift` puts the first row off a line."""
    n_rows = STREAM_BYTES // (4 * columns) + 2
    logits, vector = uneven((n_rows, columns), np.float32), uneven((n_rows, columns), np.float32, seed=1)
    out = np.empty(logits.size + shift, np.float32)[shift:].reshape(logits.shape)
    for name in (*MAPS, *PRODUCTS):
        arrays = (logits,) if name in MAPS else (point(name, logits[:50]), vector[:50])
        if name in PRODUCTS:
            arrays = tuple(np.resize(a, logits.shape) for a in arrays)
        whole = getattr(fs, name)(*arrays) if name == "logsumexp" else getattr(fs, name)(*arrays, out=out)
        for n in (0, 1, n_rows // 2, n_rows - 1):
            assert same_bits(getattr(fs, name)(*[a[n : n + 1] for a in arrays])[0], whole[n])
    labels = rng().integers(0, columns, n_rows)
    _, grad = fs.cross_entropy_value_and_grad(logits, labels, reduction="sum", out=out)
    for n in (0, n_rows - 1):
        alone = fs.cross_entropy_value_and_grad(logits[n : n + 1], labels[n : n + 1], reduction="sum")[1]
        assert same_bits(alone[0], grad[n])


@pytest.mark.parametrize("columns", [3, 700])
def test_out_takes_the_result_and_may_be_an_input(columns):
    logits, vector = uneven((4, columns)), uneven((4, columns), seed=1)
    for name in ("softmax", "log_softmax"):
        expected = getattr(fs, name)(logits)
        out = np.empty_like(logits)
        assert getattr(fs, name)(logits, out=out) is out
        assert same_bits(out, expected)
        itself = logits.copy()
        getattr(fs, name)(itself, out=itself)
        assert same_bits(itself, expected)
    for name in PRODUCTS:
        at = point(name, logits)
        expected = getattr(fs, name)(at, vector)
        for which in range(2):
            arrays = [at.copy(), vector.copy()]
            assert getattr(fs, name)(*arrays, out=arrays[which]) is arrays[which]
            assert same_bits(arrays[which], expected)


def test_kernels_can_be_called_directly():
    logits = uneven((4, 6), np.float32)
    out = np.empty_like(logits)
    kernels.softmax_rows(logits, None, out, 0)
    assert same_bits(out, fs.softmax(logits))


# Properties

any_float = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
arrays = hnp.arrays(st.sampled_from(FLOATS), hnp.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=any_float)


@settings(max_examples=150 if JIT else 25, deadline=None)
@given(arrays, st.data())
def test_any_values_any_axis(logits, data):
    """NaN and infinity where the contract says, else what SciPy gives in more digits."""
    axis = data.draw(st.integers(-logits.ndim, logits.ndim - 1))
    probs = fs.softmax(logits, axis)
    top = logits.max(axis=axis, keepdims=True)
    good = np.isfinite(top) & np.ones_like(logits, bool)
    assert np.isnan(probs[~good]).all()
    with np.errstate(all="ignore"):
        expected = scipy.special.softmax(logits.astype(np.longdouble), axis=axis)
        distance = np.where(good, top - logits, 0)
        bound = (np.minimum(distance, 1e4) + 16) * np.finfo(logits.dtype).eps * expected + np.finfo(logits.dtype).tiny
    assert (np.abs(probs - expected)[good] <= bound[good]).all()


@settings(max_examples=60 if JIT else 15, deadline=None)
@given(arrays, st.data())
def test_layout_does_not_change_bits(logits, data):
    order = data.draw(st.permutations(range(logits.ndim)))
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, -1, 2]))) for _ in order)
    view = logits.transpose(order)[steps]
    for name in MAPS:
        assert same_bits(getattr(fs, name)(view), getattr(fs, name)(view.copy()))


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("n_columns", [2, 20, 40])
@pytest.mark.parametrize("dtype", FLOATS)
def test_temperatures_at_the_ends_of_the_dtype(dtype, n_columns, axis):
    """The difference z - max z may be too large a number where (z - max z) / T is none."""
    largest = np.finfo(dtype).max
    z = np.zeros((3, n_columns), dtype)
    z[:, 0], z[:, 1] = largest * dtype(0.95), -largest * dtype(0.95)
    exact = z.astype(np.longdouble) if dtype == np.float64 else z.astype(np.float64)
    for temperature in (largest / 2, largest, 1.5, 1.0, 0.5, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal):
        t = float(dtype(temperature))
        with np.errstate(all="ignore"):
            scaled = (exact - exact.max(axis=1, keepdims=True)) / t
            e = np.exp(scaled)
            expected, logs = e / e.sum(axis=1, keepdims=True), scaled - np.log(e.sum(axis=1, keepdims=True))
            logs = np.where(np.abs(logs) > largest, -np.inf, logs)
        given = z if axis == -1 else np.ascontiguousarray(z.T)
        for room in (fs, reference):
            with np.errstate(all="ignore"):
                probs, log_probs = (
                    room.softmax(given, axis, temperature=t),
                    room.log_softmax(given, axis, temperature=t),
                )
            probs, log_probs = (probs, log_probs) if axis == -1 else (probs.T, log_probs.T)
            assert np.allclose(probs, expected.astype(dtype), rtol=tolerance(dtype, n_columns), atol=0)
            assert np.allclose(log_probs, logs.astype(dtype), rtol=tolerance(dtype, n_columns), atol=1e-30)


def test_a_temperature_changes_no_bit_that_it_did_not_before():
    """Where nothing overflows, halves are exact: the probabilities are those of the quotients."""
    z = uneven((50, 30))
    for temperature in (1.5, 2.0, 7.3, 1e3):
        shifted = (z - z.max(axis=1, keepdims=True)) / temperature
        assert same_bits(fs.softmax(z, temperature=temperature), fs.softmax(shifted))


def test_a_temperature_at_the_ends_in_float16_and_in_compiled_code():
    for room in (fs, reference):
        assert room.softmax(np.array([1, 1, 0], np.float16), temperature=1e-8).tolist() == [0.5, 0.5, 0]
        with np.errstate(all="raise" if JIT or room is reference else "ignore"):  # kernels as Python are NumPy's
            assert room.softmax([0.0, -800.0])[0] == 1
    assert fs.softmax(np.array([6e4, -6e4], np.float16), temperature=6e4)[0] == np.float16(1 / (1 + np.exp(-2)))
    users_own = numba.njit(lambda z, t: fs.softmax(z, temperature=t))
    assert np.allclose(users_own(np.array([1.7e308, -1.7e308]), 1e308), [0.96770454, 0.03229546])


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_mask_and_a_temperature_together(name, axis):
    logits, where = uneven((6, 7)), rng(1).random((6, 7)) < 0.6
    expected = getattr(fs.reference, name)(logits, axis, temperature=2.5, where=where)
    result = getattr(fs, name)(logits, axis, temperature=2.5, where=where)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert not np.allclose(result, getattr(fs, name)(logits, axis, where=where))


@pytest.mark.parametrize(("keepdims", "shape"), [(1, (2, 1)), (0, (2,)), (np.True_, (2, 1)), (np.False_, (2,))])
def test_keepdims_is_what_numpy_takes(keepdims, shape):
    assert fs.logsumexp(np.zeros((2, 3)), keepdims=keepdims).shape == shape
