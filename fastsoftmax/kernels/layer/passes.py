"""The ways through the rows of X: logits cache block by cache block, turned into dL/dlogits where they lie, on to the
gradients.

`products` says how many dense layers a block of rows goes through (0, 1 or 2), and weight and bias of each: the first
gives z, another one `second`. What stands in z is then replaced with dL/dlogits by `work`, a closure (closures.py) of
(first row, z, second), and multiplied with the rows of X, which are still in a cache: so X comes from memory once, and
no more logits exist than those of the blocks in work. `sums` are the gradients that are wanted: what can be derived is
added to grad_weight (C, D), grad_bias (C,) and put into grad_X (N, D); one that is empty is not wanted.

Three ways, by the kind of X and the size of weight alone:

- by groups, where weight and its gradient fit into a core's cache: each thread takes reduction groups of GROUP rows
  through the whole pass and sums in a workspace of its own, which is added to the gradients in the order of the groups
  (where there are no sums, a group is a block);
- together, where they do not: all threads work on one block and share the classes; the gradient of a class is one
  thread's, and adds up block by block;
- CSR: together, too, but the threads share the features, and weight is transposed so that a number of X meets all
  classes side by side.

Either way a sum over rows adds the same numbers in the same order for any number of threads.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.board import await_ticket, pass_ticket, team_size
from fastsoftmax.kernels.closures import call
from fastsoftmax.kernels.jit import inlined, inlined_overload, routine
from fastsoftmax.kernels.layer.dense import (
    CHUNK,
    CLASSES,
    PACKED,
    PANEL,
    ROWS,
    add_to,
    block_rows,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
    logits_pieces,
    rows_that_fit,
)
from fastsoftmax.kernels.layer.sparse import (
    add_transposed,
    carry_full,
    csr_grad_weight,
    csr_logits,
    cut_features,
    full_features,
    return_full,
    sample_features,
    transpose_weight,
)
from fastsoftmax.kernels.simd import lanes, misaligned, outer_band, pointer
from fastsoftmax.kernels.threads import share, share_each
from fastsoftmax.kernels.views import matrix, on_huge_pages, part

GROUP = 10 * ROWS  # rows whose sums are folded into the gradients together: a multiple of every block
TOGETHER_BYTES = 2**20  # of weight, from which on threads work together
LOGITS_BYTES = 40 * 2**20  # of one block's logits at the most
CSR_LOGITS_BYTES = 4 * 2**20  # the same where X is sparse
CSR_ROWS = 2048  # whose sums are folded, so that they keep their digits, where a feature has many numbers


def pass_over_rows(team, X, products, work, weight, sums):
    """All rows of X, a matrix or (data, indices, indptr)."""
    way = _csr if isinstance(X, tuple) else _dense
    way(team, X, products, work, weight, sums)


@inlined_overload(pass_over_rows)
def _pass_over_rows_jitted(team, X, products, work, weight, sums):
    if isinstance(X, types.BaseTuple):
        return lambda team, X, products, work, weight, sums: _csr(team, X, products, work, weight, sums)
    return lambda team, X, products, work, weight, sums: _dense(team, X, products, work, weight, sums)


@inlined
def _dense(team, X, products, work, weight, sums):
    if weight.size * weight.itemsize < TOGETHER_BYTES:
        _by_groups(team, X, products, work, weight, sums)
    else:
        _together(team, X, products, work, weight, sums)


@routine(counts_references=True, deferred=True)
def _by_groups(team, X, products, work, weight, sums):
    grad_weight, grad_bias, _ = sums
    rows, with_grad, group_rows = block_rows(X), grad_weight.size > 0 or grad_bias.size > 0, GROUP
    if not with_grad:  # a row is then by itself: blocks that lie in a cache with their logits, some for each thread
        rows = rows_that_fit(max(1, (X.shape[1] + weight.shape[0]) * X.itemsize))
        rows = group_rows = ROWS if X.shape[0] < 2 * rows * team_size(team) else rows
    sizes = (rows * weight.shape[0] * max(1, products[0]), weight.size * with_grad, weight.shape[0])
    size = _padded(X, sizes[0]) + _padded(X, sizes[1]) + _padded(X, sizes[2])
    workspace, ticket = on_huge_pages(np.empty(team_size(team) * size + lanes(X), X.dtype)), np.zeros(1, np.int64)
    arguments = (team, ticket, workspace, size, rows, group_rows, X, products, work, weight, sums)
    share_each(team, -(-X.shape[0] // group_rows), _groups, arguments)


@inlined
def _padded(like, size):
    return size + -size % lanes(like)


@routine(counts_references=True)
def _groups(first, last, team, ticket, workspace, size, rows, group_rows, X, products, work, weight, sums):
    grad_weight, grad_bias, grad_X = sums
    n_rows, n_features, n_classes, threads = X.shape[0], X.shape[1], weight.shape[0], team_size(team)
    with_grad = grad_weight.size > 0 or grad_bias.size > 0
    packed = np.empty(max(CHUNK, rows) * (PACKED + PANEL) if with_grad or grad_X.size else 0, X.dtype)
    for group in range(first, last):
        # a thread has one group at a time, and they end in order: so the one that had this workspace has left it
        place = -misaligned(pointer(workspace), 0) % lanes(X) + group % threads * size
        behind = place + _padded(X, rows * n_classes * max(1, products[0]))
        part_weight = matrix(workspace, behind, n_classes if with_grad else 0, n_features)
        part_bias = part(workspace, behind + _padded(X, part_weight.size), n_classes)
        end = min(n_rows, (group + 1) * group_rows)
        for start in range(group * group_rows, end, rows):
            count = min(rows, end - start)
            z, second = matrix(workspace, place, count, n_classes), matrix(workspace, place, 0, n_classes)
            if products[0] > 0:
                logits_block(X, start, count, products[1], products[2], 0, n_classes, pointer(z))
            if products[0] > 1:
                second = matrix(workspace, place + rows * n_classes, count, n_classes)
                logits_block(X, start, count, products[3], products[4], 0, n_classes, pointer(second))
            call(work, (start, z, second))
            if with_grad:
                # fetch the rows that this thread will read next while it computes (60000 x 784: 19 ms against 29)
                following = start + rows if start + rows < end else (group + threads) * group_rows
                ahead = (following - start) * n_features if following < n_rows else 0
                adds = start > group * group_rows
                grad_weight_block(z, X, start, count, 0, n_classes, adds, part_weight, ahead, packed)
                grad_bias_block(z, 0, n_classes, adds, part_bias)
            if grad_X.size:
                grad_X_block(z, 0, count, weight, start, grad_X, packed)
        if not await_ticket(team, np.int64(ticket.ctypes.data), group):
            return
        if with_grad:
            add_to(grad_weight, part_weight)
            add_to(grad_bias, part_bias)
        pass_ticket(team, np.int64(ticket.ctypes.data), group + 1)


@routine(counts_references=True, deferred=True)
def _together(team, X, products, work, weight, sums):
    grad_weight, grad_bias, grad_X = sums
    n_rows, n_classes = X.shape[0], weight.shape[0]
    rows = block_rows(X)
    while rows > ROWS and rows * n_classes * X.itemsize > LOGITS_BYTES:
        rows //= 2
    workspace = on_huge_pages(np.empty(rows * n_classes * max(1, products[0]), X.dtype))
    for start in range(0, n_rows, rows):
        count = min(rows, n_rows - start)
        z, second = matrix(workspace, 0, count, n_classes), matrix(workspace, 0, 0, n_classes)
        n_pieces = -(-n_classes // CLASSES)
        if products[0] > 0:
            share_each(team, n_pieces, _logits_pieces, (X, start, count, products[1], products[2], z))
        if products[0] > 1:
            second = matrix(workspace, rows * n_classes, count, n_classes)
            share_each(team, n_pieces, _logits_pieces, (X, start, count, products[3], products[4], second))
        share(team, count, n_classes, _work_rows, (work, start, z, second))
        if grad_weight.size > 0 or grad_bias.size > 0:
            n_pieces = -(-n_classes // outer_band())
            share_each(team, n_pieces, _grad_weight_pieces, (z, X, start, grad_weight, grad_bias))
        if grad_X.size:
            share_each(team, -(-count // ROWS), _grad_X_pieces, (z, weight, start, grad_X))


@routine
def _logits_pieces(first, last, X, start, count, weight, bias, z):
    for piece in range(first, last):
        c = piece * CLASSES
        logits_block(X, start, count, weight, bias, c, min(CLASSES, weight.shape[0] - c), pointer(z))


@routine
def _work_rows(first, last, work, start, z, second):
    count, n_classes = last - first, z.shape[1]
    logits = matrix(second, first * n_classes, count if second.size else 0, n_classes)
    call(work, (start + first, matrix(z, first * n_classes, count, n_classes), logits))


@routine(counts_references=True)
def _grad_weight_pieces(first, last, z, X, start, grad_weight, grad_bias):
    band, packed = outer_band(), np.empty(z.shape[0] * (PACKED + PANEL), X.dtype)
    for piece in range(first, last):
        c = piece * band
        n_classes = min(band, z.shape[1] - c)
        grad_weight_block(z, X, start, z.shape[0], c, n_classes, True, grad_weight, 0, packed)
        grad_bias_block(z, c, n_classes, True, grad_bias)


@routine(counts_references=True)
def _grad_X_pieces(first, last, z, weight, start, grad_X):
    packed = np.empty(CHUNK * PACKED, z.dtype)
    for piece in range(first, last):
        grad_X_block(z, piece * ROWS, min(z.shape[0], (piece + 1) * ROWS), weight, start, grad_X, packed)


def logits_of_rows(team, X, weight, bias, out):
    """X W^T + b of all rows, into out (N, C)."""
    way = _csr_logits if isinstance(X, tuple) else _dense_logits
    way(team, X, weight, bias, out)


@inlined_overload(logits_of_rows)
def _logits_of_rows_jitted(team, X, weight, bias, out):
    if isinstance(X, types.BaseTuple):
        return lambda team, X, weight, bias, out: _csr_logits(team, X, weight, bias, out)
    return lambda team, X, weight, bias, out: _dense_logits(team, X, weight, bias, out)


@inlined
def _dense_logits(team, X, weight, bias, out):
    rows = block_rows(X)
    n_pieces = -(-X.shape[0] // rows) * -(-weight.shape[0] // CLASSES)
    share_each(team, n_pieces, logits_pieces, (X, weight, bias, rows, out))


@inlined(counts_references=True)
def _csr_logits(team, X, weight, bias, out):
    transposed = on_huge_pages(np.empty(weight.size, weight.dtype))
    share(team, weight.shape[1], weight.shape[0], transpose_weight, (weight, transposed, 0))
    share(team, out.shape[0], out.shape[1], csr_logits, (X, 0, transposed, 0, bias, out))


@routine(counts_references=True)
def _csr(team, X, products, work, weight, sums):
    grad_weight, grad_bias, grad_X = sums
    n_rows, n_classes, n_features = X[2].shape[0] - 1, weight.shape[0], weight.shape[1]
    with_grad = grad_weight.size > 0 or grad_bias.size > 0
    rows = max(1, min(CSR_LOGITS_BYTES // max(1, n_classes * weight.itemsize), n_rows))
    counts, cuts = sample_features(X, n_features), np.empty(team_size(team) + 1, np.int64)
    cut_features(counts, cuts)
    full = full_features(counts, CSR_ROWS)
    carried = np.zeros((full.size, n_classes), weight.dtype)
    workspace = np.empty(rows * n_classes * max(1, products[0]), weight.dtype)
    transposed = on_huge_pages(np.empty(weight.size * products[0], weight.dtype))
    by_feature = on_huge_pages(np.empty(weight.size if with_grad else 0, weight.dtype))
    by_feature[:] = 0  # np.zeros would have touched it before it lies on huge pages
    for k in range(products[0]):
        arguments = (products[3] if k else products[1], transposed, k * weight.size)
        share(team, n_features, n_classes, transpose_weight, arguments)
    for start in range(0, n_rows, rows):
        count = min(rows, n_rows - start)
        z, second = matrix(workspace, 0, count, n_classes), matrix(workspace, 0, 0, n_classes)
        for k in range(products[0]):
            logits = matrix(workspace, k * rows * n_classes, count, n_classes)
            bias, place = (products[4] if k else products[2]), k * weight.size
            share(team, count, n_classes, csr_logits, (X, start, transposed, place, bias, logits))
            second = logits if k else second
        share(team, count, n_classes, _work_rows, (work, start, z, second))
        if with_grad:
            for r in range(0, count, CSR_ROWS):
                some = matrix(z, r * n_classes, min(CSR_ROWS, count - r), n_classes)
                share_each(team, len(cuts) - 1, csr_grad_weight, (X, start + r, some, cuts, by_feature))
                carry_full(full, by_feature, carried)
                grad_bias_block(some, 0, n_classes, True, grad_bias)
        if grad_X.size:
            share_each(team, -(-count // ROWS), _grad_X_pieces, (z, weight, start, grad_X))
    if with_grad:
        return_full(full, by_feature, carried)
        share(team, n_features, n_classes, add_transposed, (by_feature, grad_weight))
