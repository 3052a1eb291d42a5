"""Vectors as values: each name does in compiled code what simd.py says in NumPy (which runs when the JIT is off)."""

import numpy as np
import pytest
from helpers import FLOATS, JIT, rng, same_bits

from fastsoftmax.kernels import simd
from fastsoftmax.kernels.jit import kernel


def numbers(dtype, count=64, seed=0):
    return rng(seed).standard_normal(count).astype(dtype)


@kernel
def copy_some(x, start, count, fill, out, at):
    simd.store(simd.load_masked(simd.pointer(x), start, count, fill), simd.pointer(out), 0)
    simd.store_masked(simd.load(simd.pointer(x), start), simd.pointer(out), at, count)


@pytest.mark.parametrize("dtype", FLOATS)
def test_load_and_store_touch_what_they_are_told(dtype):
    x = numbers(dtype)
    width = 64 // x.itemsize
    for count in range(width + 1):
        out = np.full(64, 7, dtype)
        copy_some(x, 3, count, -np.inf, out, 20)
        expected = np.full(64, 7, dtype)
        expected[:width] = -np.inf
        expected[:count] = x[3 : 3 + count]
        expected[20 : 20 + count] = x[3 : 3 + count]
        assert same_bits(out, expected)


@kernel
def arithmetic(x, y, out):
    a, b, target, width = simd.load(simd.pointer(x), 0), simd.load(simd.pointer(y), 0), simd.pointer(out), simd.lanes(x)
    simd.store(a + b, target, 0)
    simd.store(a - b, target, width)
    simd.store(a * b, target, 2 * width)
    simd.store(a / b, target, 3 * width)
    simd.store(simd.larger(a, b), target, 4 * width)
    simd.store(simd.select(simd.below(a, b), a, simd.splat(x, 0.5)), target, 5 * width)
    simd.store(simd.select(simd.equal(a, b), b, a), target, 6 * width)
    simd.store(simd.fma(a, b, b), target, 7 * width)
    return simd.popcount(simd.below(a, b)), simd.popcount(simd.equal(a, b))


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_and_comparisons(dtype):
    width = 64 // np.dtype(dtype).itemsize
    x, y = numbers(dtype, width), numbers(dtype, width, 1)
    x[2], y[3], y[4], x[5] = np.nan, np.nan, x[4], -np.inf
    out = np.empty(8 * width, dtype)
    below, equal = arithmetic(x, y, out)
    out = out.reshape(8, width)
    with np.errstate(invalid="ignore"):
        for got, expected in zip(out, (x + y, x - y, x * y, x / y), strict=False):
            assert same_bits(got, expected)
        assert same_bits(out[4], np.where(x > y, x, y))  # y where either is NaN
        assert same_bits(out[5], np.where(x < y, x, dtype(0.5)))
        assert same_bits(out[6], np.where(x == y, y, x))
        exact = x.astype(np.longdouble) * y + y
        np.testing.assert_allclose(out[7], exact.astype(dtype), rtol=4 * np.finfo(dtype).eps)
        assert (below, equal) == ((x < y).sum(), 1)


@kernel
def lanes_and_folds(x, where, count, lane, out):
    p, target, width = simd.pointer(x), simd.pointer(out), simd.lanes(x)
    vector, nothing = simd.load(p, 0), simd.splat(x, 0)
    simd.store(simd.one_hot(x, lane, 2.5), target, 0)
    simd.store(simd.select(simd.first_lanes(x, count), vector, nothing), target, width)
    simd.store(simd.select(simd.load_mask(simd.pointer(where), 1, count, x), vector, nothing), target, 2 * width)
    one, two = simd.sums_of_two(vector, simd.load(p, width))
    simd.store(one, target, 3 * width)
    simd.store(two, target, 4 * width)
    simd.prefetch(p, 10_000_000)  # outside: no fault
    return simd.sum_of(vector), simd.max_of(vector)


@pytest.mark.parametrize("dtype", FLOATS)
def test_lanes_masks_and_folds(dtype):
    width = 64 // np.dtype(dtype).itemsize
    x, where = numbers(dtype), rng(2).uniform(size=64) < 0.5
    for count in range(width + 1):
        for lane in (-1, 0, count, width - 1, width, 2**20):
            out = np.empty(5 * width, dtype)
            total, top = lanes_and_folds(x, where, count, lane, out)
            hot, first, shown, one, two = out.reshape(5, width)
            assert hot.tolist() == [2.5 if j == lane else 0 for j in range(width)]
            assert same_bits(first, np.where(np.arange(width) < count, x[:width], dtype(0)))
            assert same_bits(shown, np.where((np.arange(width) < count) & where[1 : 1 + width], x[:width], dtype(0)))
            sums = [folded(x[:width]), folded(x[width : 2 * width])]
            assert (total, top) == (sums[0], x[:width].max())
            assert same_bits(np.array([one, two]), np.repeat(sums, width).reshape(2, width))


def folded(halves):
    while halves.size > 1:  # in this order and no other
        halves = halves[: halves.size // 2] + halves[halves.size // 2 :]
    return halves[0]


@kernel
def powers(x, out):
    simd.store(simd.as_power(simd.load(simd.pointer(x), 0)), simd.pointer(out), 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_last_bits_of_a_float_as_a_power_of_two(dtype):
    width, bias = 64 // np.dtype(dtype).itemsize, 127 if dtype == np.float32 else 1023
    magic = 12582912.0 if dtype == np.float32 else 6755399441055744.0
    n = np.arange(width) * 3 - 10
    out = np.empty(width, dtype)
    powers((magic + bias + n).astype(dtype), out)
    assert same_bits(out, (2.0**n).astype(dtype))


@kernel
def powers_in_eighths(x, out):
    simd.store(simd.as_power_in_eighths(simd.load(simd.pointer(x), 0)), simd.pointer(out), 0)


def test_the_last_bits_of_a_float32_as_a_power_of_two_in_eighths():
    eighths = np.arange(16) * 13 - 100  # each of the eight, several times
    out = np.empty(16, np.float32)
    powers_in_eighths((12582912.0 + 8 * 127 + eighths).astype(np.float32), out)
    assert same_bits(out, (2.0 ** (eighths / 8)).astype(np.float32))


@kernel
def turned(x, rows, columns, out):
    simd.transpose(simd.pointer(x), 2, 20, rows, columns, simd.pointer(out), 1, 30)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_tile_of_any_size_is_transposed_and_nothing_else_written(dtype):
    width = 64 // np.dtype(dtype).itemsize
    x = numbers(dtype, 20 * 20)
    for rows in range(1, width + 1):
        for columns in (1, 2, width // 2, width - 1, width):
            out = np.full(30 * 20, 7, dtype)
            turned(x, rows, columns, out)
            expected = out.copy()
            expected[:] = 7
            for r in range(rows):
                for c in range(columns):
                    expected[1 + 30 * c + r] = x[2 + 20 * r + c]
            assert same_bits(out, expected)


@kernel
def side_by_side(x, rows, columns, out, position, spill):
    tile, at = simd.stack_tiles(x), 5 * simd.lanes(x)
    simd.gather(simd.pointer(x), 1, rows, columns, x.shape[0] - 1 - rows * columns, tile, at)
    for c in range(at, at + columns * simd.lanes(x), simd.lanes(x)):
        simd.store(simd.load(tile, c) + simd.splat(x, 1), tile, c)
    simd.scatter(tile, at, rows, columns, simd.pointer(out), position, spill)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_side_by_side_come_back_and_spill_no_further_than_they_are_told(dtype):
    width = 64 // np.dtype(dtype).itemsize
    for rows in (1, 3, width - 1, width):
        for columns in range(1, 3 * width + 1):
            size = rows * columns
            for ahead, spill in ((0, 0), (1, 1), (3, 2), (9, 3)):
                x, out = numbers(dtype, 1 + size + ahead), np.full(size + 40, 7, dtype)
                side_by_side(x, rows, columns, out, 2, spill)
                assert same_bits(out[2 : size + 2], x[1 : size + 1] + dtype(1))
                assert same_bits(out[:2], np.full(2, 7, dtype))
                assert same_bits(out[size + 2 + spill :], np.full(38 - spill, 7, dtype))


@kernel
def streamed(x, out):
    past = simd.misaligned(simd.pointer(out), 0)
    at = (simd.lanes(x) - past) % simd.lanes(x)
    simd.store_nontemporal(simd.load(simd.pointer(x), 0), simd.pointer(out), at)
    simd.store_fence()
    return past, at


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_streaming_to_an_aligned_place(dtype, shift):
    width = 64 // np.dtype(dtype).itemsize
    x, out = numbers(dtype), np.zeros(64, dtype)[shift:]
    past, at = streamed(x, out)
    assert past == out.ctypes.data % 64 // out.itemsize
    assert same_bits(out[at : at + width], x[:width])
    assert not out[:at].any()
    assert not out[at + width :].any()


@kernel
def chosen(condition, a, b):
    place = simd.either(condition, simd.pointer(a), simd.pointer(b))
    return simd.sum_of(simd.load_masked(place, 0, 1, 0))


def test_either_of_two_arrays():
    a, b = np.array([1.0]), np.array([2.0])
    assert (chosen(True, a, b), chosen(False, a, b)) == (1, 2)


@kernel
def dots(X, w, bias, first, adds, out):
    x, weight = (simd.pointer(X), 0, X.shape[1]), (simd.pointer(w), 0, w.shape[1])
    place = (simd.pointer(out), 2, out.shape[1])
    simd.dot_tile(x, X.shape[0], weight, w.shape[0], w.shape[1], simd.pointer(bias), first, adds, place)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_tile_of_dots_at_every_size_writes_its_rows_and_classes_and_no_more(dtype):
    for n_classes in range(1, tile_classes() + 1):
        for n_rows, depth in ((1, 0), (1, 1), (2, 15), (3, 16), (5, 17), (16, 40), (50, 40), (50, 512), (50, 1100)):
            X, w = (numbers(dtype, n * depth, n).reshape(n, depth) for n in (n_rows, n_classes))
            bias = numbers(dtype, n_classes + 1)
            for adds in (False, True):
                out = np.full((n_rows, n_classes + 3), 7, dtype)
                dots(X, w, bias, 1, adds, out)
                expected = np.full(out.shape, 7.0)
                start = 7 if adds else bias[1:].astype(float)
                expected[:, 2:-1] = X.astype(float) @ w.T.astype(float) + start
                np.testing.assert_allclose(out, expected, atol=1e3 * np.finfo(dtype).eps)
                assert (out[:, :2] == 7).all()
                assert (out[:, -1] == 7).all()


@kernel
def tile_classes():
    return simd.dot_tile_classes()


@kernel
def tile_height():
    return simd.outer_tile_height()


@kernel
def outers(factors, X, columns, adds, out):
    height = factors.shape[1] - 1
    place = (simd.pointer(factors), 1, factors.shape[1])
    x = (simd.pointer(X), 0, X.shape[1])
    simd.outer_tile(place, height, x, columns, X.shape[0], adds, (simd.pointer(out), 1, out.shape[1]), 10_000_000)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_tile_of_outer_products_at_every_size_writes_its_part_and_no_more(dtype):
    width = 64 // np.dtype(dtype).itemsize
    for height in range(1, tile_height() + 1):
        for count, columns in ((0, 1), (1, width - 1), (2, width), (5, width + 1), (9, 2 * width)):
            factors = numbers(dtype, count * (height + 1), height).reshape(count, height + 1)
            X = numbers(dtype, count * columns, columns).reshape(count, columns)
            for adds in (False, True):
                out = np.full((height, columns + 2), 7, dtype)
                outers(factors, X, columns, adds, out)
                expected = np.full(out.shape, 7.0)
                expected[:, 1:-1] = factors[:, 1:].T.astype(float) @ X.astype(float) + (7 if adds else 0)
                np.testing.assert_allclose(out, expected, atol=1e3 * np.finfo(dtype).eps)
                assert (out[:, [0, -1]] == 7).all()


@kernel
def through_halves(bits, wide, back):
    if simd.converts_halves():
        vector = simd.load_halves(simd.pointer(bits), 1)
        simd.store(vector, simd.pointer(wide), 0)
        simd.store_halves(vector, simd.pointer(back), 2)
    return simd.converts_halves()


@pytest.mark.skipif(not JIT, reason="NumPy converts where there is no machine code")
def test_halves_are_converted_where_the_machine_can():
    """All numbers: test_arrays.py."""
    bits, wide, back = (
        rng(3).integers(0, 2**16, 20).astype(np.uint16),
        np.zeros(16, np.float32),
        np.zeros(20, np.uint16),
    )
    if not through_halves(bits, wide, back):
        pytest.skip("this machine has no instructions for float16")
    assert same_bits(wide, bits[1:17].view(np.float16).astype(np.float32))
    assert not back[:2].any()
    assert not back[18:].any()
    np.testing.assert_array_equal(back[2:18].view(np.float16), bits[1:17].view(np.float16))
