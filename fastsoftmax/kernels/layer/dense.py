"""The dense layer, logits = X W^T + b, and what its gradients are made of, in tiles that stay in registers.

Shapes: X (N, D), weight (C, D), bias (C,), cotangent G = dL/dlogits (N, C); C-contiguous, one dtype for all. The
functions that end in _block work on a few rows, which lie in a cache; passes.py leads them through all rows.

There is no BLAS here: tiles of 3 rows x 5 classes (forward: both factors lie along D, so a sum is 16 partial sums that
are added at the end) and 14 classes x 32 features (backward), with AVX2 3 x 4 and 3 x 32, run at nearly what the
multipliers can do (AVX2, 96 rows, 784 features, 100 classes: 127 and 124 of 131 GFLOP/s), and give each row the same
bits whatever is beside it. They read X where it lies, unless its rows would drive each other out of L1.
"""

from fastsoftmax.kernels.jit import inlined, routine
from fastsoftmax.kernels.rows.vecmath import each_vector
from fastsoftmax.kernels.simd import (
    dot_tile,
    dot_tile_classes,
    lanes,
    load_masked,
    outer_band,
    outer_tile,
    outer_tile_height,
    pointer,
    splat,
    store,
    store_masked,
    transpose,
)
from fastsoftmax.kernels.views import matrix

ROWS = 48  # of a block at the least, and packed together in grad_X_block
BLOCK_BYTES = 320 * 1024  # of X that a block takes at the most: a third of a core's L2
CLASSES = 40  # that are dealt out together where threads share the rows of a block
DEPTH_BYTES = 4096  # of a row of X or weight at a time: so five rows of weight stay in L1
CHUNK = 256  # classes at a time in grad_X
PACKED = 48  # numbers from one row of packed factors to the next: at least ROWS, and outer_band() in whole vectors
PANEL = 32  # numbers of a row of x that a tile takes, at the most
SETS_BYTES = 4096  # rows that lie a multiple of it apart share one set of L1, and drive each other out
PANEL_TILES = 3  # one above the other, for more of which x is worth a copy then; twice as many for half as far apart


@routine
def logits_pieces(first, last, X, weight, bias, rows, out):
    # logits of pieces first .. last of X W^T + b: `rows` rows and CLASSES classes each, the classes of a row in turn
    n_chunks = -(-weight.shape[0] // CLASSES)
    for piece in range(first, last):
        start, first_class = piece // n_chunks * rows, piece % n_chunks * CLASSES
        count, n_classes = min(rows, X.shape[0] - start), min(CLASSES, weight.shape[0] - first_class)
        here = matrix(out, start * weight.shape[0], count, weight.shape[0])
        logits_block(X, start, count, weight, bias, first_class, n_classes, pointer(here))


@inlined
def block_rows(X):
    # as many rows as a block has
    return rows_that_fit(max(1, X.shape[1] * X.itemsize))


@inlined
def rows_that_fit(row_bytes):
    # into a third of a core's L2
    return ROWS * (5 if 5 * ROWS * row_bytes <= BLOCK_BYTES else 2 if 2 * ROWS * row_bytes <= BLOCK_BYTES else 1)


@routine
def logits_block(X, start, count, weight, bias, first_class, n_classes, out):
    # z_nc for rows start .. start + count and n_classes classes from first_class on; out points to the first such row
    n_features, stride = X.shape[1], weight.shape[0]
    depth = DEPTH_BYTES // X.itemsize
    n_tiles = -(-n_classes // dot_tile_classes())
    for d in range(0, max(1, n_features), depth):
        deep = min(depth, n_features - d)
        for t in range(n_tiles):
            c, end = first_class + n_classes * t // n_tiles, first_class + n_classes * (t + 1) // n_tiles
            x, w = (
                (pointer(X), start * n_features + d, n_features),
                (pointer(weight), c * n_features + d, n_features),
            )
            dot_tile(x, count, w, end - c, deep, pointer(bias), c, d > 0, (out, c, stride))


@routine
def grad_weight_block(G, X, start, count, first_class, n_classes, adds, out, ahead, packed):
    # dL/dW_cd = sum_n G_nc X_nd over rows start .. start + count of X, which are all rows of G, for some classes; added
    # to out (C, D) or put there. packed: room for as many rows of factors, and of a panel. ahead: see outer_tile
    n_all, n_features = out.shape
    n_bands = -(-n_classes // outer_band())
    for band in range(n_bands):
        first = first_class + n_classes * band // n_bands
        some = first_class + n_classes * (band + 1) // n_bands - first
        factors = (pointer(G), first, n_all)
        if n_all > PACKED:  # else rows of G lie too far apart for a tile that reads a few numbers of each
            _pack_columns(G, first, some, packed)
            factors = (pointer(packed), 0, PACKED)
        x, target = (pointer(X), start * n_features, n_features), (pointer(out), first * n_features, n_features)
        row_bytes = n_features * X.itemsize
        if some * min(SETS_BYTES, row_bytes & -row_bytes) > PANEL_TILES * outer_tile_height() * SETS_BYTES:
            _outer_block_by_panels(factors, some, x, n_features, count, adds, target, pointer(packed))
        else:
            outer_block(factors, some, x, n_features, count, adds, target, ahead if band == 0 else 0)


@routine
def outer_block(factors, n_rows, x, n_columns, count, adds, out, ahead):
    # out_ij = sum_{k < count} factors_ki x_kj, i < n_rows, j < n_columns; each a place = (pointer, position, stride).
    # The columns of x that a tile takes stay in L1 for all rows of out
    width, n_tiles = 2 * lanes(x[0]), -(-n_rows // outer_tile_height())
    for j in range(0, n_columns, width):
        tile, columns = (x[0], x[1] + j, x[2]), min(width, n_columns - j)
        for t in range(n_tiles):
            i, end = n_rows * t // n_tiles, n_rows * (t + 1) // n_tiles
            some = (factors[0], factors[1] + i, factors[2])
            target = (out[0], out[1] + i * out[2] + j, out[2])
            outer_tile(some, end - i, tile, columns, count, adds, target, ahead if t == 0 else 0)


@inlined
def _outer_block_by_panels(factors, n_rows, x, n_columns, count, adds, out, packed):
    # outer_block, but the columns of x that a tile takes are copied first (AVX2, rows 4 KiB apart: float32 10 classes
    # 53 to 75 GFLOP/s, 30 classes 75 to 105; float64 25 to 39, 33 to 53)
    width, at = 2 * lanes(x[0]), count * PACKED
    for j in range(0, n_columns, width):
        columns = min(width, n_columns - j)
        for n in range(count):
            for k in range(0, columns, lanes(x[0])):
                some = min(lanes(x[0]), columns - k)
                row = load_masked(x[0], x[1] + n * x[2] + j + k, some, 0)
                store(row, packed, at + n * width + k)
        target = (out[0], out[1] + j, out[2])
        outer_block(factors, n_rows, (packed, at, width), columns, count, adds, target, 0)


@inlined
def _pack_columns(G, c, count, packed):
    for n in range(G.shape[0]):
        for j in range(0, count, lanes(G)):
            row = load_masked(pointer(G), n * G.shape[1] + c + j, min(lanes(G), count - j), 0)
            store(row, pointer(packed), n * PACKED + j)


@routine
def grad_bias_block(G, first_class, n_classes, adds, out):
    # dL/db_c = sum_n G_nc over all rows of G, for some classes; added to out (C,) or put there
    g, target, stride = pointer(G), pointer(out), G.shape[1]
    for c in range(first_class, first_class + n_classes, lanes(G)):
        some = min(lanes(G), first_class + n_classes - c)
        total = splat(G, 0)
        for n in range(G.shape[0]):
            total = total + load_masked(g, n * stride + c, some, 0)
        if adds:
            total = load_masked(target, c, some, 0) + total
        store_masked(total, target, c, some)


@routine(deferred=True)
def grad_X_block(G, first, last, weight, start, out, packed):
    # dL/dX_nd = sum_c G_nc W_cd for rows first .. last of G, which are rows start + first .. of out (N, D).
    # packed: room for CHUNK rows of factors
    n_classes, n_features = weight.shape
    if n_classes == 0:
        out[start + first : start + last] = 0
    for c in range(0, n_classes, CHUNK):
        count = min(CHUNK, n_classes - c)
        for n in range(first, last, ROWS):
            rows = min(ROWS, last - n)
            _pack_transposed(G, n, rows, c, count, packed)
            w = (pointer(weight), c * n_features, n_features)
            target = (pointer(out), (start + n) * n_features, n_features)
            outer_block((pointer(packed), 0, PACKED), rows, w, n_features, count, c > 0, target, 0)


@inlined
def _pack_transposed(G, n, n_rows, c, count, packed):
    width, stride = lanes(G), G.shape[1]
    for i in range(0, n_rows, width):
        for k in range(0, count, width):
            rows, columns = min(width, n_rows - i), min(width, count - k)
            source = (n + i) * stride + c + k
            transpose(pointer(G), source, stride, rows, columns, pointer(packed), k * PACKED + i, PACKED)


@inlined
def add_to(total, part):
    # total += part, element by element
    each_vector(total, 0, total.size, _add, (pointer(total), pointer(part)))


@inlined
def _add(j, some, total, part):
    store_masked(load_masked(total, j, some, 0) + load_masked(part, j, some, 0), total, j, some)


@inlined
def copy_to(target, source, start):
    # the elements of target are those of source from its flat position `start` on
    each_vector(target, 0, target.size, _copy, (pointer(target), pointer(source), start))


@inlined
def _copy(j, some, target, source, start):
    store_masked(load_masked(source, start + j, some, 0), target, j, some)
