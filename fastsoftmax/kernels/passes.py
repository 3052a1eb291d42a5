"""The ways through the rows of X: logits block by block, turned into dL/dlogits where they lie, on to the gradients.

`products` says how many dense layers a block of rows goes through (0, 1 or 2), and weight and bias of each: the first
gives z, another one `second`. What stands in z is then replaced with dL/dlogits by `groups` or `pieces`, the functions
of a loss (linear.py), and multiplied with the rows of X, which are still in a cache: so X comes from memory once, and
no more logits exist than those of the blocks in work. What can be derived is added to grad_weight (C, D), grad_bias
(C,) and put into grad_X (N, D); one that is empty is not wanted.

Three ways, by the kind of X and the size of weight alone:

- apart, where weight and its gradient fit into a core's cache: each thread takes groups of GROUP rows through the whole
  pass and sums in a room of its own, which is added to the gradients in the order of the groups;
- together, where they do not: all threads work on one block, a step after the other, and share the classes; the
  gradient of a class is one thread's, and adds up block by block;
- CSR: together, too, but the threads share the features, and weight is turned so that a number of X meets all classes
  side by side.

Either way a sum over rows adds the same numbers in the same order for any number of threads.
"""

import numpy as np
from numba import types
from numba.extending import overload

from fastsoftmax.kernels._jit import kernel, outline, step
from fastsoftmax.kernels._views import matrix, on_huge_pages, part
from fastsoftmax.kernels.dense import (
    CHUNK,
    CLASSES,
    NONE,
    PACKED,
    ROWS,
    add_to,
    block_rows,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
    logits_pieces,
)
from fastsoftmax.kernels.simd import lanes, misaligned, outer_band, pointer
from fastsoftmax.kernels.sparse import (
    add_turned,
    carry_full,
    csr_grad_weight,
    csr_logits,
    cut_features,
    full_features,
    return_full,
    sample_features,
    turn_weight,
)
from fastsoftmax.kernels.team import await_turn, pass_turn, share, share_each, team_size

GROUP = 10 * ROWS  # rows whose sums are folded into the gradients together: a multiple of every block
TOGETHER_BYTES = 2**20  # of weight, from which on threads work together
LOGITS_BYTES = 40 * 2**20  # of one block's logits at the most
CSR_LOGITS_BYTES = 4 * 2**20  # the same where X is sparse
CSR_ROWS = 2048  # whose sums are folded, so that they keep their digits, where a feature has many numbers


def pass_over_rows(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    """All rows of X, a matrix or (data, indices, indptr)."""
    if isinstance(X, tuple):
        _csr(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X)
    else:
        _dense(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X)


@overload(pass_over_rows, inline="always")
def _pass_over_rows_jitted(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    if isinstance(X, types.BaseTuple):

        def csr(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
            _csr(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X)

        return csr

    def dense(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
        _dense(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X)

    return dense


@outline
def _dense(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    if weight.size * weight.itemsize < TOGETHER_BYTES:
        _apart(team, X, products, groups, arguments, weight, grad_weight, grad_bias, grad_X)
    else:
        _together(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X)


@outline
def _apart(team, X, products, groups, arguments, weight, grad_weight, grad_bias, grad_X):
    rows, with_grad = block_rows(X), grad_weight.size > 0 or grad_bias.size > 0
    sizes = (rows * weight.shape[0] * max(1, products[0]), weight.size * with_grad, weight.shape[0])
    size = _padded(X, sizes[0]) + _padded(X, sizes[1]) + _padded(X, sizes[2])
    room, turn = on_huge_pages(np.empty(team_size(team) * size + lanes(X), X.dtype)), np.zeros(1, np.int64)
    more = (team, turn, room, size, rows, X, products, weight, grad_weight, grad_bias, grad_X)
    share_each(team, -(-X.shape[0] // GROUP), groups, (arguments, more))


@step
def _padded(like, size):
    return size + -size % lanes(like)


@outline
def work_groups(first, last, at, arguments, more):
    team, turn, room, size, rows, X, products, weight, grad_weight, grad_bias, grad_X = more
    n_rows, n_features, n_classes, threads = X.shape[0], X.shape[1], weight.shape[0], team_size(team)
    packed, with_grad = np.empty(max(CHUNK, rows) * PACKED, X.dtype), grad_weight.size > 0 or grad_bias.size > 0
    for group in range(first, last):
        # a thread has one group at a time, and they end in order: so the one that had this room has left it
        place = -misaligned(pointer(room), 0) % lanes(X) + group % threads * size
        sums = place + _padded(X, rows * n_classes * max(1, products[0]))
        part_weight = matrix(room, sums, n_classes if with_grad else 0, n_features)
        part_bias = part(room, sums + _padded(X, part_weight.size), n_classes)
        end = min(n_rows, (group + 1) * GROUP)
        for start in range(group * GROUP, end, rows):
            count = min(rows, end - start)
            z, second = matrix(room, place, count, n_classes), matrix(room, place, 0, n_classes)
            if products[0] > 0:
                logits_block(X, start, count, products[1], products[2], NONE, n_classes, pointer(z))
            if products[0] > 1:
                second = matrix(room, place + rows * n_classes, count, n_classes)
                logits_block(X, start, count, products[3], products[4], NONE, n_classes, pointer(second))
            at(start, z, second, *arguments)
            if with_grad:
                # fetch the rows that this thread will read next while it computes (60000 x 784: 19 ms against 29)
                following = start + rows if start + rows < end else (group + threads) * GROUP
                ahead = (following - start) * n_features if following < n_rows else 0
                adds = start > group * GROUP
                grad_weight_block(z, X, start, count, NONE, n_classes, adds, part_weight, ahead, packed)
                grad_bias_block(z, NONE, n_classes, adds, part_bias)
            if grad_X.size:
                grad_X_block(z, NONE, count, weight, start, grad_X, packed)
        if not await_turn(team, np.int64(turn.ctypes.data), group):
            return
        if with_grad:
            add_to(grad_weight, part_weight)
            add_to(grad_bias, part_bias)
        pass_turn(team, np.int64(turn.ctypes.data), group + 1)


@outline
def _together(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    n_rows, n_classes = X.shape[0], weight.shape[0]
    rows = block_rows(X)
    while rows > ROWS and rows * n_classes * X.itemsize > LOGITS_BYTES:
        rows //= 2
    room = on_huge_pages(np.empty(rows * n_classes * max(1, products[0]), X.dtype))
    for start in range(0, n_rows, rows):
        count = min(rows, n_rows - start)
        z, second = matrix(room, 0, count, n_classes), matrix(room, 0, 0, n_classes)
        n_pieces = -(-n_classes // CLASSES)
        if products[0] > 0:
            share_each(team, n_pieces, _logits_pieces, (X, start, count, products[1], products[2], z))
        if products[0] > 1:
            second = matrix(room, rows * n_classes, count, n_classes)
            share_each(team, n_pieces, _logits_pieces, (X, start, count, products[3], products[4], second))
        share(team, count, n_classes, pieces, (arguments, (start, z, second)))
        if grad_weight.size > 0 or grad_bias.size > 0:
            n_pieces = -(-n_classes // outer_band())
            share_each(team, n_pieces, _grad_weight_pieces, (z, X, start, grad_weight, grad_bias))
        if grad_X.size:
            share_each(team, -(-count // ROWS), _grad_X_pieces, (z, weight, start, grad_X))


@kernel
def _logits_pieces(first, last, X, start, count, weight, bias, z):
    for piece in range(first, last):
        c = piece * CLASSES
        logits_block(X, start, count, weight, bias, c, min(CLASSES, weight.shape[0] - c), pointer(z))


@outline
def work_rows(first, last, at, arguments, more):
    start, z, second = more
    count, n_classes = last - first, z.shape[1]
    logits = matrix(second, first * n_classes, count if second.size else 0, n_classes)
    at(start + first, matrix(z, first * n_classes, count, n_classes), logits, *arguments)


@kernel
def _grad_weight_pieces(first, last, z, X, start, grad_weight, grad_bias):
    band, packed = outer_band(), np.empty(z.shape[0] * PACKED, X.dtype)
    for piece in range(first, last):
        c = piece * band
        n_classes = min(band, z.shape[1] - c)
        grad_weight_block(z, X, start, z.shape[0], c, n_classes, np.bool_(True), grad_weight, NONE, packed)
        grad_bias_block(z, c, n_classes, np.bool_(True), grad_bias)


@kernel
def _grad_X_pieces(first, last, z, weight, start, grad_X):
    packed = np.empty(CHUNK * PACKED, z.dtype)
    for piece in range(first, last):
        grad_X_block(z, piece * ROWS, min(z.shape[0], (piece + 1) * ROWS), weight, start, grad_X, packed)


def logits_of_rows(team, X, weight, bias, out):
    """X W^T + b of all rows, into out (N, C)."""
    if isinstance(X, tuple):
        _csr_logits(team, X, weight, bias, out)
    else:
        _dense_logits(team, X, weight, bias, out)


@overload(logits_of_rows, inline="always")
def _logits_of_rows_jitted(team, X, weight, bias, out):
    if isinstance(X, types.BaseTuple):
        return lambda team, X, weight, bias, out: _csr_logits(team, X, weight, bias, out)
    return lambda team, X, weight, bias, out: _dense_logits(team, X, weight, bias, out)


@outline
def _dense_logits(team, X, weight, bias, out):
    rows = block_rows(X)
    n_pieces = -(-X.shape[0] // rows) * -(-weight.shape[0] // CLASSES)
    share_each(team, n_pieces, logits_pieces, (X, weight, bias, rows, out))


@outline
def _csr_logits(team, X, weight, bias, out):
    turned = on_huge_pages(np.empty(weight.size, weight.dtype))
    share(team, weight.shape[1], weight.shape[0], turn_weight, (weight, turned, NONE))
    share(team, out.shape[0], out.shape[1], csr_logits, (X, NONE, turned, NONE, bias, out))


@outline
def _csr(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    n_rows, n_classes, n_features = X[2].shape[0] - 1, weight.shape[0], weight.shape[1]
    with_grad = grad_weight.size > 0 or grad_bias.size > 0
    rows = max(1, min(CSR_LOGITS_BYTES // max(1, n_classes * weight.itemsize), n_rows))
    counts, cuts = sample_features(X, n_features), np.empty(team_size(team) + 1, np.int64)
    cut_features(counts, cuts)
    full = full_features(counts, CSR_ROWS)
    carried = np.zeros((full.size, n_classes), weight.dtype)
    room = np.empty(rows * n_classes * max(1, products[0]), weight.dtype)
    turned = on_huge_pages(np.empty(weight.size * products[0], weight.dtype))
    sums = on_huge_pages(np.zeros(weight.size if with_grad else 0, weight.dtype))
    for k in range(products[0]):
        share(
            team,
            n_features,
            n_classes,
            turn_weight,
            (products[3] if k else products[1], turned, np.intp(k * weight.size)),
        )
    for start in range(0, n_rows, rows):
        count = min(rows, n_rows - start)
        z, second = matrix(room, 0, count, n_classes), matrix(room, 0, 0, n_classes)
        if products[0] > 0:
            share(team, count, n_classes, csr_logits, (X, np.intp(start), turned, NONE, products[2], z))
        if products[0] > 1:
            second = matrix(room, rows * n_classes, count, n_classes)
            share(
                team,
                count,
                n_classes,
                csr_logits,
                (X, np.intp(start), turned, np.intp(weight.size), products[4], second),
            )
        share(team, count, n_classes, pieces, (arguments, (start, z, second)))
        if with_grad:
            for r in range(0, count, CSR_ROWS):
                some = matrix(z, r * n_classes, min(CSR_ROWS, count - r), n_classes)
                share_each(team, len(cuts) - 1, csr_grad_weight, (X, start + r, some, cuts, sums))
                carry_full(full, sums, carried)
                grad_bias_block(some, NONE, n_classes, np.bool_(True), grad_bias)
        if grad_X.size:
            share_each(team, -(-count // ROWS), _grad_X_pieces, (z, weight, start, grad_X))
    if with_grad:
        return_full(full, sums, carried)
        share(team, n_features, n_classes, add_turned, (sums, grad_weight))
