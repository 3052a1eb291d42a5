"""Rows that are filled from a sum over each, as products with a Jacobian are (jacobians.py): ways by a row's length.

`added` is a step of the sum and `value` an element, as in sum_values and fill_row. A row of up to four vectors is read
once and stays in registers (37 columns: AVX2 5.9 ns a row against 8.3, AVX-512 4.5 against 9.2), and is never written
past the caches (300000 x 10: 0.7 ms against 1.6, AVX-512 0.75 against 2.5).

- Up to a vector: in pairs, whose sums take two thirds of the work, or, where exp is in them, packed across the rows.
- Up to four vectors: one after another, the last vector stored whole where the next row follows.
- Longer: in two passes, past the caches where the result is large.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined
from fastsoftmax.kernels.rows.vecmath import CHUNK, fetch_ahead, fill_row, sum_lanes, sum_values
from fastsoftmax.kernels.simd import (
    first_lanes,
    lanes,
    load,
    pointer,
    select,
    splat,
    stack_tiles,
    store,
    store_fence,
    store_masked,
    sum_of,
    sums_of_two,
    vector_registers,
)
from fastsoftmax.kernels.views import matrix

# From here on rows are fetched ahead: 65536 x 10 in 0.9 of the time (AVX2). Below, it would take 1.2 times as long
# (AVX-512, 1797 x 10), and so would a branch in the loop, of which there are two therefore
FAR_BYTES = 2**21
COPIED, LONGEST_COPIED = 4096, 16  # elements of rows that are copied together; vectors of the longest
PACKED_ROWS = 64  # rows of one vector at the most that are worked on together: with their sums they lie in L1


@inlined
def needs_copies(x, y, out, packs):
    # whether, in place, a load would wait for a masked store beside it to reach the cache (AVX-512, 1797 x 10: 26 us,
    # and from copies 3). Packed rows do not meet them, and without mask registers the last vector is stored in parts
    in_place = out.ctypes.data == x.ctypes.data or out.ctypes.data == y.ctypes.data
    is_packed = packs and out.shape[1] <= lanes(out)
    return in_place and vector_registers() == 1 and not is_packed and out.shape[1] <= LONGEST_COPIED * lanes(out)


@inlined(counts_references=True)
def from_copies(span, first, last, x, y, out):
    # span(first, last, x, y, out, False) in place, some rows at a time, from a copy of them
    n_columns, from_x, from_y = out.shape[1], x.ctypes.data == out.ctypes.data, y.ctypes.data == out.ctypes.data
    at_once = max(1, COPIED // max(1, n_columns))
    copy = np.empty((min(at_once, last - first), n_columns), out.dtype)
    for n in range(first, last, at_once):
        start, rows = n * n_columns, min(at_once, last - n)
        source, target = pointer(out), pointer(copy)
        for j in range(rows * n_columns):
            target[j] = source[start + j]
        copied = matrix(copy, 0, rows, n_columns)
        some_x = copied if from_x else matrix(x, start, rows, n_columns)
        some_y = copied if from_y else matrix(y, start, rows, n_columns)
        span(0, rows, some_x, some_y, matrix(out, start, rows, n_columns), False)


@inlined
def fill_by_sums(first, last, x, y, out, streaming, added, value, packs):
    # each row of out from the same rows of x and y and a sum over them: added and value as in sum_values and fill_row.
    # packs: whether short rows are worth packing
    n_columns, width, target, a, b = out.shape[1], lanes(out), pointer(out), pointer(x), pointer(y)
    far = out.size * out.itemsize >= FAR_BYTES
    if n_columns <= width and packs:
        _fill_packed(first, last, a, b, out, added, value, far)
    elif n_columns <= width:
        last_pair = min(_last_spill(first, last, x, y, out), out.size - width + 1) - n_columns
        if far:
            _fill_in_pairs(first, last, last_pair, a, b, out, added, value, True)
        else:
            _fill_in_pairs(first, last, last_pair, a, b, out, added, value, False)
    elif n_columns <= 2 * width:
        last_spill = _last_spill(first, last, x, y, out)
        if far:
            _fill_two(first, last, last_spill, a, b, target, n_columns, added, value, True)
        else:
            _fill_two(first, last, last_spill, a, b, target, n_columns, added, value, False)
    elif n_columns <= 4 * width:
        _fill_three_or_four(first, last, _last_spill(first, last, x, y, out), a, b, target, n_columns, added, value)
    elif streaming:
        for n in range(first, last):
            start = n * n_columns
            total = splat(out, sum_values(out, n_columns, added, (start, a, b, True)))
            fill_row(target, start, n_columns, True, value, (start, total, a, b, True))
        store_fence()
    elif n_columns <= CHUNK * width:
        # one chunk, whose sum needs no compensation (256 x 100: AVX2 1.1, AVX-512 1.2 times as fast)
        for n in range(first, last):
            start = n * n_columns
            total = sum_lanes(out, 0, n_columns, added, (start, a, b, False))
            total = splat(out, sum_of(total)) + splat(out, 0)
            fill_row(target, start, n_columns, False, value, (start, total, a, b, False))
    else:
        # to add up the next row meanwhile takes up to 1.2 times as long (128 x 1000)
        for n in range(first, last):
            start = n * n_columns
            total = splat(out, sum_values(out, n_columns, added, (start, a, b, False)))
            fill_row(target, start, n_columns, False, value, (start, total, a, b, False))


@inlined
def _last_spill(first, last, x, y, out):
    # where the row begins before which the last vector of a row may be stored whole: what is behind is written later
    in_place = out.ctypes.data == x.ctypes.data or out.ctypes.data == y.ctypes.data
    row = first if in_place or out.shape[1] == 0 else last - -(-lanes(out) // out.shape[1])
    return row * out.shape[1]


@inlined
def _fill_three_or_four(first, last, last_spill, a, b, out, n_columns, added, value):
    # rows of three vectors or four, in a way of their own, or LLVM keeps fewer of them in registers (for longer rows,
    # to spill over the end gains nothing)
    width = lanes(out)
    third, fourth = min(width, n_columns - 2 * width), n_columns - 3 * width
    start, stop = first * n_columns, last * n_columns
    while start < stop:
        total = added(added(splat(out, 0), 0, width, start, a, b, False), width, width, start, a, b, False)
        total = added(total, 2 * width, third, start, a, b, False)
        if fourth > 0:
            total = added(total, 3 * width, fourth, start, a, b, False)
        total = splat(out, sum_of(total)) + splat(out, 0)
        low = value(0, width, start, total, a, b, False)
        middle = value(width, width, start, total, a, b, False)
        end, at, count = value(2 * width, third, start, total, a, b, False), 2 * width, third
        store(low, out, start)
        store(middle, out, start + width)
        if fourth > 0:
            store(end, out, start + at)
            at, count = 3 * width, fourth
            end = value(at, count, start, total, a, b, False)
        if start < last_spill:
            store(end, out, start + at)
        else:
            store_masked(end, out, start + at, count)
        start += n_columns


@inlined
def _fill_two(first, last, last_spill, a, b, out, n_columns, added, value, far):
    # rows of two vectors; what they spill over is the next row's
    width = lanes(out)
    high, start, stop = n_columns - width, first * n_columns, last * n_columns
    while start < stop:  # no row is counted, or LLVM has no register for its number
        if far:
            fetch_ahead(a, start, 1)
            fetch_ahead(b, start, 1)
        total = added(splat(out, 0), 0, width, start, a, b, False)
        total = added(total, width, high, start, a, b, False)
        total = splat(out, sum_of(total)) + splat(out, 0)  # -0 becomes 0, as in sum_values
        low, end = value(0, width, start, total, a, b, False), value(width, high, start, total, a, b, False)
        store(low, out, start)
        if start < last_spill:
            store(end, out, start + width)
        else:
            store_masked(end, out, start + width, high)
        start += n_columns


@inlined
def _fill_in_pairs(first, last, last_pair, a, b, out, added, value, far):
    # rows of one vector at the most. Before last_pair two begin whose vectors can be read and stored whole (1797 x 10:
    # 0.8 of the time of one row after another, AVX2 and AVX-512)
    width, n_columns, target = lanes(out), out.shape[1], pointer(out)
    own, nothing = first_lanes(out, n_columns), splat(out, 0)
    start, stop = first * n_columns, last * n_columns
    while start < last_pair:
        if far:
            for row in range(2):
                fetch_ahead(a, start + row * n_columns, 1)
                fetch_ahead(b, start + row * n_columns, 1)
        one, two = sums_of_two(
            select(own, added(nothing, 0, width, start, a, b, False), nothing),
            select(own, added(nothing, n_columns, width, start, a, b, False), nothing),
        )
        low, high = value(0, width, start, one, a, b, False), value(n_columns, width, start, two, a, b, False)
        store(low, target, start)
        store(high, target, start + n_columns)
        start += 2 * n_columns
    while start < stop:
        total = splat(out, sum_of(added(nothing, 0, n_columns, start, a, b, False))) + nothing
        store_masked(value(0, n_columns, start, total, a, b, False), target, start, n_columns)
        start += n_columns


@inlined
def _fill_packed(first, last, a, b, out, added, value, far):
    # rows of one vector at the most: first the sum of its row for each element of some rows, then all these elements in
    # vectors across the rows, so that no exp is computed for nobody (log_softmax_vjp, 65536 x 10: 0.7 of the time of a
    # vector for each row, AVX-512 0.8; 50000 x 3: 0.4 and 0.5)
    width, n_columns, target = lanes(out), out.shape[1], pointer(out)
    own, nothing, sums = first_lanes(out, n_columns), splat(out, 0), stack_tiles(out)
    for n in range(first, last, PACKED_ROWS):
        start, rows = n * n_columns, min(PACKED_ROWS, last - n)
        length, row = rows * n_columns, 0
        while row < rows - 1 and start + (row + 1) * n_columns + width <= out.size:
            at = start + row * n_columns
            if far:
                fetch_ahead(a, at, 2)
                fetch_ahead(b, at, 2)
            one, two = sums_of_two(
                select(own, added(nothing, 0, width, at, a, b, False), nothing),
                select(own, added(nothing, n_columns, width, at, a, b, False), nothing),
            )
            store(one, sums, row * n_columns)
            store(two, sums, (row + 1) * n_columns)
            row += 2
        while row < rows:
            total = sum_of(added(nothing, 0, n_columns, start + row * n_columns, a, b, False))
            store(splat(out, total) + nothing, sums, row * n_columns)
            row += 1
        for j in range(0, length - length % width, width):
            store(value(j, width, start, load(sums, j), a, b, False), target, start + j)
        j, count = length - length % width, length % width
        if count > 0:
            store_masked(value(j, count, start, load(sums, j), a, b, False), target, start + j, count)
