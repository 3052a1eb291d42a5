"""One row, a vector at a time: the maximum, sums of exp, sums and dot products, filling.

A row is walked through in chunks of CHUNK vectors; a sum runs in as many lanes as a vector has, and the chunks are
added with compensation, and so are, in float64, blocks of BLOCK chunks: what compensates is rounded, too, and of
hundreds of millions of float32 it would lose a thousandth. So the error of a sum does not grow with the length of the
row, and its bits depend on nothing but the row.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.jit import inlined, inlined_overload, kernel
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.simd import (
    equal,
    fma,
    lanes,
    larger,
    load_masked,
    max_of,
    misaligned,
    pointer,
    popcount,
    prefetch,
    select,
    splat,
    store,
    store_masked,
    store_nontemporal,
    sum_of,
)

CHUNK = 16  # vectors
BLOCK = 1024  # chunks
AHEAD = 256  # vectors to fetch ahead: the fetching overlaps with exp (16384 x 1000: 4.0 ms against 6.4)
STREAM_BYTES = 2**23  # from here on past the caches (4096 x 1000: 0.9 ms against 1.5)


@inlined
def max_row(x, start, count):
    # x_j, j = start .. start + count -> the largest that is not NaN; -inf if there is none
    width = lanes(x)
    full = count - count % width
    top, second = splat(x, -np.inf), splat(x, -np.inf)
    paired = full - full % (2 * width) if count > CHUNK * width else 0
    for j in range(
        start, start + paired, 2 * width
    ):  # two that need not wait for each other: 1024 x 32000 in 8.2 ms, not 9.6
        top = larger(load_masked(x, j, width, -np.inf), top)
        second = larger(load_masked(x, j + width, width, -np.inf), second)
    for j in range(start + paired, start + full, width):
        top = larger(load_masked(x, j, width, -np.inf), top)
    top = larger(top, second)
    if full < count:
        top = larger(load_masked(x, start + full, count - full, -np.inf), top)
    return max_of(top)


@inlined
def exp_row(x, start, count, top, scale, apart, out, at):
    # e_j = exp((x_j - top) / T) -> ones, others with sum_j e_j = ones + others, and e in out from `at` on
    # unless it is None. Unless apart is None, the elements that are 1 (one of them is the maximum's) are counted in
    # ones: log1p of (ones - 1) + others keeps the digits that 1 + tiny would lose.
    width = CHUNK * lanes(x)
    block = BLOCK * width
    ahead = max(AHEAD * lanes(x), 2 * count)
    ones, total, lost = 0, splat(x, 0), splat(x, 0)
    before, dropped = 0.0, 0.0  # the blocks before
    for j in range(0, count, width):
        more, part = _exp_chunk(x, start + j, min(width, count - j), top, scale, apart, out, at + j, ahead)
        ones = ones + more
        if j == 0:
            total = part
        elif j % block == 0:
            before, dropped = add(before, dropped, np.float64(sum_of(total)) + np.float64(sum_of(lost)))
            total, lost = part, splat(x, 0)
        else:
            total, lost = add(total, lost, part)
    others = np.float64(sum_of(total))
    if count > width:
        others += np.float64(sum_of(lost))
        if count > block:
            before, dropped = add(before, dropped, others)
            others = before + dropped
    return np.float64(ones), others


@inlined
def _exp_chunk(x, start, count, top, scale, apart, out, at, ahead):
    width = lanes(x)
    full = count - count % width
    ones, total = 0, splat(x, 0)
    for j in range(0, full, width):
        prefetch(x, start + j + ahead)
        e = exp(distance(load_masked(x, start + j, width, -np.inf), top, scale))
        if out is not None:
            store(e, out, at + j)
        ones, total = _count_apart(e, ones, total, apart)
    if full < count:
        e = exp(distance(load_masked(x, start + full, count - full, -np.inf), top, scale))
        if out is not None:
            store_masked(e, out, at + full, count - full)
        ones, total = _count_apart(e, ones, total, apart)
    return ones, total


def scaling(like, temperature):
    """What `distance` divides by: vectors h and h T, or None without a temperature.

    h = 1/2 above T = 1, where x - top may be too large a number though (x - top) / T is none. Below, what is too large
    is -inf, and exp 0, either way.
    """
    return None if temperature is None else _halves(like, temperature)


@inlined_overload(scaling)
def _scaling_jitted(like, temperature):
    if isinstance(temperature, types.NoneType):
        return lambda like, temperature: None
    return lambda like, temperature: _halves(like, temperature)


@inlined
def _halves(like, temperature):
    half = 0.5 if temperature > 1 else 1.0
    return splat(like, half), splat(like, half * temperature)


@inlined
def distance(x, top, scale):
    # (x - top) / T, the same bits: 1/2 is exact, but for subnormals, whose exp is 1 either way
    return x - top if scale is None else (x * scale[0] - top * scale[0]) / scale[1]


@inlined
def _count_apart(e, ones, total, apart):
    # e added to the total, but counted in ones where it is 1 unless apart is None
    if apart is None:
        return ones, total + e
    is_one = equal(e, splat(e, 1))
    return ones + popcount(is_one), total + select(is_one, splat(e, 0), e)


@kernel
def sum_row(x):
    # x (C,) -> sum_j x_j, a float64
    return sum_values(pointer(x), x.shape[0], element, (pointer(x), 0))


@inlined
def dot_row(x, x_start, y, y_start, count):
    # sum_j x_j y_j, a float64
    return sum_values(x, count, _product, (x, x_start, y, y_start))


@inlined
def element(total, j, count, x, start):
    return total + load_masked(x, start + j, count, 0)


@inlined
def _product(total, j, count, x, x_start, y, y_start):
    return fma(load_masked(x, x_start + j, count, 0), load_masked(y, y_start + j, count, 0), total)


@inlined
def sum_values(like, count, added, arguments):
    # sum_j value_j, a float64. added(total, j, some, *arguments) is total + the vector of `some` values from j on.
    width = CHUNK * lanes(like)
    if count <= width:  # by itself, so that a short row waits for nothing else (vjp of 37 columns: 6 us, not 8)
        return np.float64(sum_of(sum_lanes(like, 0, count, added, arguments))) + 0.0  # -0 becomes 0
    total, lost = splat(like, 0), splat(like, 0)
    before, dropped = 0.0, 0.0  # the blocks before
    for j in range(0, count, width):
        part = sum_lanes(like, j, min(width, count - j), added, arguments)
        total, lost, before, dropped = _with_chunk(j, BLOCK * width, part, total, lost, before, dropped)
    return _whole_sum(count > BLOCK * width, total, lost, before, dropped)


@inlined
def _with_chunk(j, block, part, total, lost, before, dropped):
    # by itself, because sum_values is compiled for each kind of term
    if j == 0:
        return part, lost, before, dropped
    if j % block == 0:
        before, dropped = add(before, dropped, finish(np.float64(sum_of(total)), np.float64(sum_of(lost))))
        return part, splat(part, 0), before, dropped
    total, lost = add(total, lost, part)
    return total, lost, before, dropped


@inlined
def _whole_sum(has_blocks, total, lost, before, dropped):
    last = finish(np.float64(sum_of(total)), np.float64(sum_of(lost)))
    if has_blocks:
        before, dropped = add(before, dropped, last)
        last = finish(before, dropped)
    return last


@inlined
def sum_lanes(like, first, count, added, arguments):
    # the vector of partial sums, one a lane, that sum_of would fold: of `count` values, at most CHUNK vectors
    width = lanes(like)
    full = count - count % width
    total = splat(like, 0)
    for j in range(first, first + full, width):
        total = added(total, j, width, *arguments)
    if full < count:
        total = added(total, first + full, count - full, *arguments)
    return total


@inlined
def add(total, lost, term):
    # Two-sum (Knuth, TAOCP 2, 4.2.2): total + term, and in `lost` what that rounding dropped.
    larger = total + term
    part = larger - total
    return larger, lost + ((total - (larger - part)) + (term - part))


@inlined
def finish(total, lost):
    return total if np.isnan(lost) else total + lost  # inf - inf makes lost NaN where the sum is inf


@inlined
def fill_row(out, start, count, streaming, value, arguments):
    # out from `start` on = value(j, some, *arguments), vectors of `some` elements, j = 0 .. count. To stream, the
    # elements before the first whole line of the cache, and those after the last, are stored.
    width = lanes(out)
    head = 0
    if streaming:
        head = min((width - misaligned(out, start)) % width, count)
        if head > 0:
            store_masked(value(0, head, *arguments), out, start, head)
    stop = count - (count - head) % width
    for j in range(head, stop, width):
        if streaming:
            store_nontemporal(value(j, width, *arguments), out, start + j)
        else:
            store(value(j, width, *arguments), out, start + j)
    if stop < count:
        store_masked(value(stop, count - stop, *arguments), out, start + stop, count - stop)


@inlined
def each_vector(like, first, last, work, arguments):
    # work(j, some, *arguments) for the elements j .. j + some of first .. last: whole vectors, which need no mask, and
    # what is left: AVX2 and arm64 have slow masked stores, or none (L1 on digits, AVX2 of Zen 5: 47 ms, not 58)
    width = lanes(like)
    end = last - (last - first) % width
    for j in range(first, end, width):
        work(j, width, *arguments)
    if end < last:
        work(end, last - end, *arguments)


@inlined
def fetch_ahead(x, position, n_lines):
    # so many lines of the cache from AHEAD vectors after the position on
    for line in range(n_lines):
        prefetch(x, position + (AHEAD + line) * lanes(x))


@inlined
def streams(out):
    # whether so much is written that it will not be read again from a cache
    return out.size * out.itemsize >= STREAM_BYTES


@inlined
def streams_rows(out):
    # the same of rows (N, C) that go through a scratch row. What was stored there is loaded a moment later from other
    # places, where the lines of out begin, and must wait if the row is short (AVX-512: 60000 x 50 in 3.8 ms, not 1.3)
    return streams(out) and out.shape[1] > CHUNK * lanes(out)
