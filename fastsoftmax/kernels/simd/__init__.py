"""A vector of numbers as one value of @njit code: what a kernel loads, computes with and stores in one go.

A vector is 64 bytes on every machine (16 float32 or 8 float64). LLVM cuts it into the registers that the target has, so
numbers are added up in the same order whatever their width. Numba's own vectoriser would leave the end of a row that
does not fill a vector to a scalar loop; here `load_masked` takes any count.

Kernels hand `pointer(array)` of C-contiguous arrays around, which costs no reference counting; a position counts
elements in memory order. The array must outlive its pointers: a kernel's arguments do, and a scratch array does if its
pointer is taken anew in each turn of the loop. + - * / take vectors, and scalars of their dtype.

This file says in NumPy what each name means, and that is what runs when the JIT is off; compiled code gets the
instructions of memory.py, arithmetic.py, transposition.py, tiles.py and dots.py.
"""

import numpy as np

from fastsoftmax.kernels.jit.numba_internals import config
from fastsoftmax.kernels.simd.types import EIGHTHS, TILE_VECTORS, TILED_ROWS

VECTOR_BYTES = 64


def pointer(array):
    """Where the elements of a C-contiguous array are, in memory order; None of None. Read-only if the array is."""
    return None if array is None else array.reshape(-1)


def either(condition, a, b):
    """The pointer a if the condition holds, else the pointer b; None if b is."""
    return None if b is None else (a if condition else b)


def stack_square(like):
    """A pointer to room for `lanes` vectors, on the stack of the kernel that asks."""
    return np.empty(lanes(like) ** 2, like.dtype)


def stack_column(like):
    """A pointer to room for an element of each of TILED_ROWS rows, on the stack of the kernel that asks."""
    return np.empty(TILED_ROWS, like.dtype)


def stack_tiles(like):
    """A pointer to room for TILE_VECTORS vectors, and what is written behind them, on the stack of the kernel."""
    return np.empty((TILE_VECTORS + 4) * lanes(like), like.dtype)


def lanes(array):
    """How many elements of the array's dtype fill a vector."""
    return VECTOR_BYTES // array.dtype.itemsize


def load(array, position):
    """The vector that starts at the position."""
    return array[position : position + lanes(array)].copy()


def load_pair(array, position):
    """The two vectors that start at the position as one value, a pair: two chains of operations beside each other.

    A pair is computed with, compared, selected and stored as a vector is.
    """
    return array[position : position + 2 * lanes(array)].copy()


def load_masked(array, position, count, fill):
    """The `count` elements from the position on, then `fill`."""
    vector = np.full(lanes(array), fill, array.dtype)
    vector[:count] = array[position : position + count]
    return vector


def load_mask(array, position, count, like):
    """`count` elements of an array of bool, then False; as many as a vector of the array `like` has."""
    mask = np.zeros(lanes(like), np.bool_)
    mask[:count] = array[position : position + count]
    return mask


def store(vector, array, position):
    """Put the vector at the position."""
    array[position : position + len(vector)] = vector


def store_masked(vector, array, position, count):
    """Put the first `count` elements at the position."""
    array[position : position + count] = vector[:count]


def converts_halves():
    """Whether the machine has instructions for float16, which `load_halves` and `store_halves` are made of."""
    return False


def load_halves(array, position):
    """The vector of float32 made of the float16 whose bits (uint16) start at the position."""
    return array[position : position + VECTOR_BYTES // 4].view(np.float16).astype(np.float32)


def store_halves(vector, array, position):
    """Round float32 to float16, to the nearest, or even, and put their bits (uint16) at the position."""
    array[position : position + len(vector)] = vector.astype(np.float16).view(np.uint16)


def store_nontemporal(vector, array, position):
    """Put the vector at the position, whose address is a multiple of 64, past the caches."""
    store(vector, array, position)


def prefetch(array, position):
    """Have the line of the position brought into the cache; it may lie outside the array."""


def must_be_writable(array):
    """Refuse the pointer of a read-only array here and now, where what writes to it is compiled later."""


def misaligned(array, position):
    """How many elements of the array the address of the position is past a multiple of 64."""
    return (array.ctypes.data + position * array.itemsize) % VECTOR_BYTES // array.itemsize


def store_fence():
    """Wait for what was streamed: only then may another thread read it."""


def splat(array, value):
    """A vector of the array's dtype that holds the value everywhere."""
    return np.full(lanes(array), value, array.dtype)


def first_lanes(like, count):
    """The mask of the first `count` lanes of a vector of the array's dtype."""
    return np.arange(lanes(like)) < count


def one_hot(array, lane, value):
    """A vector of the array's dtype that holds the value in that lane, if it is one, and 0 elsewhere."""
    return np.where(np.arange(lanes(array)) == lane, array.dtype.type(value), array.dtype.type(0))


def fma(a, b, c):
    """A * b + c of vectors, or of three floats, rounded once on every machine that can; nothing else is ever fused."""
    return a * b + c


def sqrt(vector):
    """The square root of each element."""
    return np.sqrt(vector)


def larger(a, b):
    """A where a > b, else b: so b where either is NaN."""
    return np.where(a > b, a, b)


def below(a, b):
    """The mask of a < b."""
    return a < b


def equal(a, b):
    """The mask of a == b."""
    return a == b


def popcount(mask):
    """The number of lanes where the mask holds."""
    return int(mask.sum())


def select(mask, a, b):
    """A where the mask holds, else b."""
    return np.where(mask, a, b)


def as_power(vector):
    """The last bits of each float (8 of a float32, 11 of a float64) as the exponent of a power of two."""
    kind, width = (np.uint32, 23) if vector.dtype == np.float32 else (np.uint64, 52)
    return (vector.view(kind) << kind(width)).view(vector.dtype)


def as_power_in_eighths(vector):
    """The last 11 bits of each float32 as the exponent of a power of two, in eighths."""
    bits = vector.view(np.uint32)
    return ((bits << np.uint32(20)) + np.array(EIGHTHS, np.uint32)[bits % 8]).view(np.float32)


def sum_of(vector):
    """The sum of the elements: halves added, until one is left."""
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    return vector[0]


def sums_of_two(a, b):
    """Two vectors, each filled with the sum of one as sum_of gives it, but 0 for -0: with two thirds of the work."""
    return splat(a, sum_of(a) + 0), splat(b, sum_of(b) + 0)


def max_of(vector):
    """The largest element of a vector without NaN."""
    while len(vector) > 1:
        vector = larger(vector[: len(vector) // 2], vector[len(vector) // 2 :])
    return vector[0]


def gather(source, position, rows, columns, ahead, tile, at):
    """Put packed rows, `lanes` at most, side by side into a tile at `at`: element c of row r is lane r of vector c.

    So many elements behind the rows may be read (`ahead`). In lanes without a row is what some row has there, or junk,
    and so it is in up to three vectors behind the tile.
    """
    width = lanes(source)
    for r in range(rows):
        for c in range(columns):
            tile[at + c * width + r] = source[position + r * columns + c]


def scatter(tile, at, rows, columns, target, position, spill):
    """The way back from `gather`. So many elements behind the rows may be overwritten with anything (`spill`)."""
    width = lanes(target)
    for r in range(rows):
        for c in range(columns):
            target[position + r * columns + c] = tile[at + c * width + r]


def transpose(source, position, stride, rows, columns, target, target_position, target_stride):
    """Copy a tile of at most `lanes` rows and columns, whose rows are `stride` apart, with rows and columns swapped."""
    for r in range(rows):
        for c in range(columns):
            target[target_position + c * target_stride + r] = source[position + r * stride + c]


# Tiles of a product of two matrices. A matrix is given by its place: pointer, position, and the distance of its rows.


def dot_tile_classes():
    """The most classes that `dot_tile` takes."""
    return 5


def vector_registers():
    """How many registers hold a vector."""
    return 1


def outer_tile_height():
    """The most rows of `out` that `outer_tile` takes."""
    return 14


def outer_band():
    """How many rows of `out` are worked on together, tile after tile, for the columns of x that lie in L1."""
    return 42


def dot_tile(x, n_rows, w, n_classes, depth, bias, first, adds, out):
    """out_ij = sum_{d < depth} x_id w_jd, plus out_ij itself if it adds, else plus bias_(first + j)."""
    for i in range(n_rows):
        for j in range(n_classes):
            row, column = x[1] + i * x[2], w[1] + j * w[2]
            start = out[0][out[1] + i * out[2] + j] if adds else bias[first + j]
            out[0][out[1] + i * out[2] + j] = start + x[0][row : row + depth] @ w[0][column : column + depth]


def outer_tile(factors, height, x, columns, count, adds, out, ahead):
    """out_ij = sum_{k < count} factors_ki x_kj, i < height, j < columns (two vectors at most), added to out if it adds.

    Of x, what lies `ahead` elements after the elements that it reads is brought into the cache.
    """
    for i in range(height):
        total = sum(
            factors[0][factors[1] + k * factors[2] + i] * x[0][x[1] + k * x[2] :][:columns] for k in range(count)
        )
        row = out[0][out[1] + i * out[2] :][:columns]
        row[:] = row + total if adds else total


if not config.DISABLE_JIT:
    from fastsoftmax.kernels.simd.arithmetic import *  # noqa: F403
    from fastsoftmax.kernels.simd.dots import *  # noqa: F403
    from fastsoftmax.kernels.simd.memory import *  # noqa: F403
    from fastsoftmax.kernels.simd.tiles import *  # noqa: F403
    from fastsoftmax.kernels.simd.transposition import *  # noqa: F403
