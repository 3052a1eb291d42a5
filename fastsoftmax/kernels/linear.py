"""dense -> softmax -> loss -> gradients in one pass over X, and the product of the loss's Hessian with a vector.

Shapes: X (N, D), weight (C, D), bias (C,), targets and weights as in losses.py. Rows go by blocks: a block's logits are
computed, turned into dL/dlogits where they lie, and multiplied with the rows of X that are still in a cache. So X comes
from memory once, and no more logits exist than those of the blocks in work. What can be derived is added to grad_weight
(C, D), grad_bias (C,) and put into grad_X (N, D); one that is empty is not wanted.

Two ways, by the size of weight alone:

- apart, where weight and its gradient fit into a core's cache: each thread takes groups of GROUP rows through the whole
  pass and sums in a room of its own, which is added to the gradients in the order of the groups;
- together, where they do not: all threads work on one block, a step after the other, and share the classes; each class's
  gradient is one thread's, and adds up block by block.

Either way a sum over rows adds the same numbers in the same order for any number of threads.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, outline, step
from fastsoftmax.kernels._views import matrix, part
from fastsoftmax.kernels.dense import (
    CHUNK,
    CLASSES,
    NONE,
    PACKED,
    ROWS,
    add_to,
    block_rows,
    copy_to,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
)
from fastsoftmax.kernels.losses import cross_entropy_hvp_rows, cross_entropy_rows, squared_error_hvp_rows, squared_error_rows
from fastsoftmax.kernels.simd import lanes, misaligned, outer_tile_height, pointer
from fastsoftmax.kernels.softmax import softmax_rows
from fastsoftmax.kernels.team import await_turn, pass_turn, share, share_each, team_size

GROUP = 10 * ROWS  # rows whose sums are folded into the gradients together: a multiple of every block
TOGETHER_BYTES = 2**20  # of weight, from which on threads work together
LOGITS_BYTES = 40 * 2**20  # of one block's logits at the most


@kernel
def linear_cross_entropy_rows(
    X, weight, bias, targets, sample_weight, class_weight, smoothing, scale, losses, grad_weight, grad_bias, grad_X, team=0
):
    # losses (N,) as cross_entropy_rows gives them for the logits X W^T + b, and the gradients of scale * their sum
    arguments = (targets, sample_weight, class_weight, smoothing, scale, losses)
    products = (1, weight, bias, weight, bias)
    _pass_over_rows(team, X, products, _cross_entropy_groups, _cross_entropy_pieces, arguments, weight, grad_weight, grad_bias, grad_X)


@kernel
def linear_squared_error_rows(
    X, weight, bias, targets, sample_weight, class_weight, smoothing, scale, losses, grad_weight, grad_bias, grad_X, team=0
):
    # the same for squared_error_rows
    arguments = (targets, sample_weight, class_weight, smoothing, scale, losses)
    products = (1, weight, bias, weight, bias)
    _pass_over_rows(team, X, products, _squared_error_groups, _squared_error_pieces, arguments, weight, grad_weight, grad_bias, grad_X)


@kernel
def linear_cross_entropy_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, targets, sample_weight, class_weight, smoothing, scale, probs,
    hvp_weight, hvp_bias, team=0,
):  # fmt: skip
    # H v for scale * the sum of the losses: X^T H_z (X V^T + v_b), with H_z, (C, C) for each row, as in losses.py.
    # probs (N, C), or empty: then they are computed in the same pass. H v is added to hvp_weight and hvp_bias
    arguments = (targets, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    none = hvp_weight[:0]
    _pass_over_rows(team, X, products, _cross_entropy_hvp_groups, _cross_entropy_hvp_pieces, arguments, weight, hvp_weight, hvp_bias, none)


@kernel
def linear_squared_error_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, targets, sample_weight, class_weight, smoothing, scale, probs,
    hvp_weight, hvp_bias, team=0,
):  # fmt: skip
    # the same for squared error
    arguments = (targets, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    none = hvp_weight[:0]
    _pass_over_rows(team, X, products, _squared_error_hvp_groups, _squared_error_hvp_pieces, arguments, weight, hvp_weight, hvp_bias, none)


@kernel
def dense_vjp_rows(X, weight, cotangent, grad_weight, grad_bias, grad_X, team=0):
    # the gradients of a loss whose dL/dlogits is the cotangent (N, C)
    products = (0, weight, grad_bias, weight, grad_bias)
    _pass_over_rows(team, X, products, _cotangent_groups, _cotangent_pieces, (cotangent,), weight, grad_weight, grad_bias, grad_X)


# What each puts in the place of z, the logits of a block of rows from row `first` on: dL/dlogits


@step
def _cross_entropy_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, losses):
    some, by_row = _rows_of(targets, first, len(z)), _weights_of(sample_weight, first, len(z))
    cross_entropy_rows(z, some, by_row, class_weight, smoothing, scale, part(losses, first, len(z)), z)


@step
def _squared_error_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, losses):
    some, by_row = _rows_of(targets, first, len(z)), _weights_of(sample_weight, first, len(z))
    squared_error_rows(z, some, by_row, class_weight, smoothing, scale, part(losses, first, len(z)), z)


@step
def _cross_entropy_hvp_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, probs):
    some, by_row = _rows_of(targets, first, len(z)), _weights_of(sample_weight, first, len(z))
    p = _probs_at(first, second, probs, len(z))
    cross_entropy_hvp_rows(p, z, some, by_row, class_weight, smoothing, scale, z)


@step
def _squared_error_hvp_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, probs):
    some, by_row = _rows_of(targets, first, len(z)), _weights_of(sample_weight, first, len(z))
    p = _probs_at(first, second, probs, len(z))
    squared_error_hvp_rows(p, z, some, by_row, class_weight, smoothing, scale, z)


@step
def _cotangent_at(first, z, second, cotangent):
    copy_to(z, cotangent, first * z.shape[1])


@step
def _rows_of(targets, first, count):
    if targets.ndim == 1:
        return part(targets, first, count)
    return matrix(targets, first * targets.shape[1], count, targets.shape[1])


@step
def _weights_of(sample_weight, first, count):
    return part(sample_weight, first, count) if sample_weight.size else part(sample_weight, 0, 0)


@step
def _probs_at(first, logits, probs, count):
    if probs.size:
        return matrix(probs, first * probs.shape[1], count, probs.shape[1])
    softmax_rows(logits, None, None, logits)
    return matrix(logits, 0, logits.shape[0], logits.shape[1])


# The pass. products: how many, and weight and bias of each; the first gives z, another one `second`


@outline
def _pass_over_rows(team, X, products, groups, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    if weight.size * weight.itemsize < TOGETHER_BYTES:
        _apart(team, X, products, groups, arguments, weight, grad_weight, grad_bias, grad_X)
    else:
        _together(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X)


@outline
def _apart(team, X, products, groups, arguments, weight, grad_weight, grad_bias, grad_X):
    rows, with_grad = block_rows(X), grad_weight.size > 0 or grad_bias.size > 0
    sizes = (rows * weight.shape[0] * max(1, products[0]), weight.size * with_grad, weight.shape[0])
    size = _padded(X, sizes[0]) + _padded(X, sizes[1]) + _padded(X, sizes[2])
    room, turn = np.empty(team_size(team) * size + lanes(X), X.dtype), np.zeros(1, np.int64)
    more = (team, turn, room, size, rows, X, products, weight, grad_weight, grad_bias, grad_X)
    share_each(team, -(-X.shape[0] // GROUP), groups, (arguments, more))


@step
def _padded(like, size):
    return size + -size % lanes(like)


@outline
def _groups(first, last, at, arguments, more):
    team, turn, room, size, rows, X, products, weight, grad_weight, grad_bias, grad_X = more
    n_rows, n_features, n_classes, threads = X.shape[0], X.shape[1], weight.shape[0], team_size(team)
    packed, with_grad = np.empty(max(CHUNK, rows) * PACKED, X.dtype), grad_weight.size > 0 or grad_bias.size > 0
    for group in range(first, last):
        # a thread has one group at a time, and they are folded in order: so another one has left this room
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
                # fetch the rows that this thread will read next while it computes (60000 x 784: 19 ms against 24)
                following = start + rows if start + rows < end else (group + threads) * GROUP
                ahead = (following - start) * n_features if following < n_rows else 0
                adds = start > group * GROUP
                grad_weight_block(z, X, start, count, NONE, n_classes, adds, part_weight, ahead, packed)
                grad_bias_block(z, NONE, n_classes, adds, part_bias)
            if grad_X.size:
                grad_X_block(z, NONE, count, weight, start, grad_X, packed)
        if with_grad:
            if not await_turn(team, np.int64(turn.ctypes.data), group):
                return
            add_to(grad_weight, part_weight)
            add_to(grad_bias, part_bias)
            pass_turn(team, np.int64(turn.ctypes.data), group + 1)


@outline
def _together(team, X, products, pieces, arguments, weight, grad_weight, grad_bias, grad_X):
    n_rows, n_classes = X.shape[0], weight.shape[0]
    rows = block_rows(X)
    while rows > ROWS and rows * n_classes * X.itemsize > LOGITS_BYTES:
        rows //= 2
    room = np.empty(rows * n_classes * max(1, products[0]), X.dtype)
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
            n_pieces = -(-n_classes // outer_tile_height())
            share_each(team, n_pieces, _grad_weight_pieces, (z, X, start, grad_weight, grad_bias))
        if grad_X.size:
            share_each(team, -(-count // ROWS), _grad_X_pieces, (z, weight, start, grad_X))


@kernel
def _logits_pieces(first, last, X, start, count, weight, bias, z):
    for piece in range(first, last):
        c = piece * CLASSES
        logits_block(X, start, count, weight, bias, c, min(CLASSES, weight.shape[0] - c), pointer(z))


@outline
def _rows_pieces(first, last, at, arguments, more):
    start, z, second = more
    count, n_classes = last - first, z.shape[1]
    logits = matrix(second, first * n_classes, count if second.size else 0, n_classes)
    at(start + first, matrix(z, first * n_classes, count, n_classes), logits, *arguments)


@kernel
def _grad_weight_pieces(first, last, z, X, start, grad_weight, grad_bias):
    height, packed = outer_tile_height(), np.empty(z.shape[0] * PACKED, X.dtype)
    for piece in range(first, last):
        c = piece * height
        n_classes = min(height, z.shape[1] - c)
        grad_weight_block(z, X, start, z.shape[0], c, n_classes, np.bool_(True), grad_weight, NONE, packed)
        grad_bias_block(z, c, n_classes, np.bool_(True), grad_bias)


@kernel
def _grad_X_pieces(first, last, z, weight, start, grad_X):
    packed = np.empty(CHUNK * PACKED, z.dtype)
    for piece in range(first, last):
        grad_X_block(z, piece * ROWS, min(z.shape[0], (piece + 1) * ROWS), weight, start, grad_X, packed)


# Their spans, for both ways (a function that is handed on inside a tuple would not be kept on disk)


@step
def _cross_entropy_groups(first, last, arguments, more):
    _groups(first, last, _cross_entropy_at, arguments, more)


@step
def _cross_entropy_pieces(first, last, arguments, more):
    _rows_pieces(first, last, _cross_entropy_at, arguments, more)


@step
def _squared_error_groups(first, last, arguments, more):
    _groups(first, last, _squared_error_at, arguments, more)


@step
def _squared_error_pieces(first, last, arguments, more):
    _rows_pieces(first, last, _squared_error_at, arguments, more)


@step
def _cross_entropy_hvp_groups(first, last, arguments, more):
    _groups(first, last, _cross_entropy_hvp_at, arguments, more)


@step
def _cross_entropy_hvp_pieces(first, last, arguments, more):
    _rows_pieces(first, last, _cross_entropy_hvp_at, arguments, more)


@step
def _squared_error_hvp_groups(first, last, arguments, more):
    _groups(first, last, _squared_error_hvp_at, arguments, more)


@step
def _squared_error_hvp_pieces(first, last, arguments, more):
    _rows_pieces(first, last, _squared_error_hvp_at, arguments, more)


@step
def _cotangent_groups(first, last, arguments, more):
    _groups(first, last, _cotangent_at, arguments, more)


@step
def _cotangent_pieces(first, last, arguments, more):
    _rows_pieces(first, last, _cotangent_at, arguments, more)
