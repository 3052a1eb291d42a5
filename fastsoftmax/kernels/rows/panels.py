"""Panels: some neighbouring columns of an array (outer, C, inner), of which a row is a run of memory.

Rows of a picture's channels lie a power of two apart, so that the lines of a column share a few sets of the caches, and
none is there any more when it is asked for again. A panel is read from memory, and written to it, by whole runs.

- `take_panel` copies it; what is done to its columns then meets lines one beside the other, and `put_panel` writes what
  comes of them (AVX-512, softmax of 16 pictures, 21 classes, 64 x 64: 0.36 ns an element; 0.99 column by column, in
  place).
- `sum_panel` adds up its columns, a few rows at a time, where it lies: for what is read twice and not changed in
  between. (A panel that fits L1 is narrower, and slower: 1.05 to 1.3 of the time.)
"""

from fastsoftmax.kernels.board import team_size
from fastsoftmax.kernels.jit import inlined, routine
from fastsoftmax.kernels.rows.strips import ROWS_OF_BLOCK, finish_strip
from fastsoftmax.kernels.rows.vecmath import CHUNK, add, fill_row
from fastsoftmax.kernels.simd import lanes, load, load_masked, splat, store, vector_registers

NEAR_BYTES = 512  # rows that are no longer lie in lines one beside the other as they are: a panel is all of them
LEAST_VECTORS, MOST_VECTORS = 16, 64  # of a run: a kilobyte, if the panel takes CACHE_BYTES at the most, and a page
TEAM_VECTORS = 5  # of a run, where else some of a team would have nothing to do
CACHED_BYTES, CACHE_BYTES = 96 * 1024, 256 * 1024  # of a copied panel: as it is to be, and a fourth of a core's L2
MOST_STRIPS = 4  # of float32, each of one register, that are added up one after another
ROWS = 4  # that are added to a sum while it is in a register
SUMS = 5  # rows of a sum's room: the part, the total, what it lost; the blocks before, what they dropped


@inlined
def are_near(array):
    # whether the rows of an outer block follow one another closely
    return array.shape[2] * array.itemsize <= NEAR_BYTES


@inlined
def are_near_for_sums(array):
    # the same of what is only added up: then each strip but the first finds its lines in L2 at best, and to go by rows
    # pays sooner (64 x 1000 x 49, AVX2: float32 0.33 ns an element against 0.55, float64 0.6 against 1.5)
    n_strips = -(-array.shape[2] // lanes(array))
    return n_strips <= 1 or n_strips * vector_registers() * array.itemsize <= MOST_STRIPS * 4


@inlined
def panel_width(array, is_copied, team):
    # the columns of a panel, but for the last along inner: whole vectors, a copied one is to stay in a cache, and each
    # of a team is to have one
    n_vectors, near = max(1, -(-array.shape[2] // lanes(array))), are_near(array)
    most = n_vectors if near else MOST_VECTORS
    if is_copied and not near:
        vector_bytes = max(1, array.shape[1]) * lanes(array) * array.itemsize
        most = min(most, max(min(LEAST_VECTORS, CACHE_BYTES // vector_bytes), CACHED_BYTES // vector_bytes, 1))
    n_across = -(-n_vectors // most)
    if team != 0 and array.shape[0] * n_across < team_size(team) and (is_copied or not near):
        least = 1 if near else TEAM_VECTORS  # what exp is computed of is worth it, though both read the same lines
        n_across = max(n_across, min(-(-team_size(team) // max(1, array.shape[0])), n_vectors // least))
    return -(-n_vectors // n_across) * lanes(array)


@inlined
def panels_of(array, width):
    # how many panels an array has, and how many elements each
    return array.shape[0] * -(-array.shape[2] // width), array.shape[1] * width


@inlined
def panel_at(array, width, number):
    # the outer block of a panel, its first column, and how many it has
    inner = array.shape[2]
    if width >= inner:
        return number, 0, inner
    n_across = -(-inner // width)
    block = number // n_across
    left = (number - block * n_across) * width
    return block, left, min(width, inner - left)


@inlined
def copy_stride(array, width):
    # elements from a row of a copy to the next: an odd number of lines, so that a column does not meet itself
    return width + (lanes(array) if width // lanes(array) % 2 == 0 else 0)


@routine
def take_panel(x, start, inner, count, length, size, panel, stride):
    # copy it from x; behind the last column is whatever lies there
    width = lanes(x)
    for c in range(length):
        source, target = start + c * inner, c * stride
        for k in range(0, count, width):
            if source + k + width <= size:
                store(load(x, source + k), panel, target + k)
            else:
                store(load_masked(x, source + k, count - k, 0), panel, target + k)


@inlined
def put_panel(out, start, inner, count, length, streaming, value, stride, arguments):
    # out = value(j, some, at, *arguments), row by row: `some` elements from column j on of the row that begins at `at`
    # in copies
    for c in range(length):
        fill_row(out, start + c * inner, count, streaming, value, (c * stride,) + arguments)  # noqa: RUF005


@inlined
def sum_panel(like, start, inner, count, length, added, arguments, sums, room):
    # the sum of a value at each position of a column, into `sums` from 0 on, as sum_strip has it; room: from one row of
    # sums to the next
    width = lanes(like)
    if length <= CHUNK:  # one part is all
        _add_rows(like, start, inner, count, length, added, arguments, sums)
        return
    for k in range(width, SUMS * room, width):
        store(splat(like, 0), sums, k)
    for first in range(0, length, CHUNK):
        if first > 0 and first % ROWS_OF_BLOCK == 0:
            for k in range(0, count, width):
                _end_block(sums, k, room)
                store(splat(like, 0), sums, room + k)
                store(splat(like, 0), sums, 2 * room + k)
        rows = min(CHUNK, length - first)
        _add_rows(like, start + first * inner, inner, count, rows, added, arguments, sums)
        for k in range(0, count, width):
            total, lost = add(load(sums, room + k), load(sums, 2 * room + k), load(sums, k))
            store(total, sums, room + k)
            store(lost, sums, 2 * room + k)
    for k in range(0, count, width):
        total, lost = load(sums, room + k), load(sums, 2 * room + k)
        if length > ROWS_OF_BLOCK:
            _end_block(sums, k, room)
            total, lost = load(sums, 3 * room + k), load(sums, 4 * room + k)
        store(finish_strip(total, lost), sums, k)


@inlined
def _add_rows(like, start, inner, count, n_rows, added, arguments, sums):
    # sums of a few rows, from nothing on
    width = lanes(like)
    full = count - count % width
    few = n_rows % ROWS
    for k in range(0, full, width):
        store(_sum_of_rows(splat(like, 0), start + k, inner, few, width, added, arguments), sums, k)
    if full < count:
        store(_sum_of_rows(splat(like, 0), start + full, inner, few, count - full, added, arguments), sums, full)
    for c in range(few, n_rows, ROWS):
        at = start + c * inner
        for k in range(0, full, width):
            store(_sum_of_rows(load(sums, k), at + k, inner, ROWS, width, added, arguments), sums, k)
        if full < count:
            store(_sum_of_rows(load(sums, full), at + full, inner, ROWS, count - full, added, arguments), sums, full)


@inlined
def _sum_of_rows(total, at, inner, n_rows, count, added, arguments):
    for _ in range(n_rows):
        total, at = added(total, at, count, *arguments), at + inner
    return total


@inlined
def _end_block(sums, k, room):
    block = finish_strip(load(sums, room + k), load(sums, 2 * room + k))
    before, dropped = add(load(sums, 3 * room + k), load(sums, 4 * room + k), block)
    store(before, sums, 3 * room + k)
    store(dropped, sums, 4 * room + k)
