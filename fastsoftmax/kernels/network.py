"""A network of dense layers with softmax and a loss on top: loss and gradients of many rows, and a whole epoch.

sizes (K + 1,) int64 are n_features, the units of each hidden layer, n_classes. params (P,) holds the layers one after
another: weight (n_out, n_in), then bias (n_out,); grad (P,) likewise. With a_0 = x, layer by layer

    forward    z_k = W_k a_k + b_k,  a_(k+1) = activation(z_k)      the last z are the logits
    backward   dL/dW_k = dL/dz_k a_k^T,  dL/db_k = dL/dz_k,  dL/dz_(k-1) = (W_k^T dL/dz_k) * activation'(z_(k-1))

X (N, D), or (data, indices, indptr) of a CSR matrix, is read by `order` (N,): its rows in the order in which they are
taken. A block of rows goes forward and backward while all that it takes lies in a cache: `gathered`, its rows of X, and
`room`, the activations of each later layer in turn. Targets and weights as in losses.py; losses, and in an epoch
nothing else, come in the order of the rows taken.

An epoch is one call, shuffling and steps included (digits, batches of 32: 2 us a batch; a call from Python for each
would cost more than that).
"""

import numpy as np
from numba import types
from numba.extending import overload

from fastsoftmax.kernels._jit import kernel, outline, step
from fastsoftmax.kernels._views import matrix, on_huge_pages, part
from fastsoftmax.kernels.activations import activate, times_slope
from fastsoftmax.kernels.dense import (
    BLOCK_BYTES,
    CHUNK,
    NONE,
    PACKED,
    ROWS,
    add_to,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
)
from fastsoftmax.kernels.losses import (
    cross_entropy_rows,
    rows_of,
    squared_error_rows,
    weight_taking_part,
    weights_of,
)
from fastsoftmax.kernels.optimizers import descend, shuffle
from fastsoftmax.kernels.passes import GROUP
from fastsoftmax.kernels.simd import fma, lanes, load_some, pointer, splat, store_some
from fastsoftmax.kernels.sparse import csr_rows_grad_weight, csr_rows_logits
from fastsoftmax.kernels.team import await_turn, pass_turn, share_each, team_size
from fastsoftmax.kernels.vecmath import dot_row, sum_row


@kernel
def network_cross_entropy_rows(
    X, targets, sample_weight, class_weight, smoothing, scale, params, sizes, activation, order, losses, grad, team=0
):
    # losses (N,) as cross_entropy_rows gives them for the logits of the network (in the order `order`), and the
    # gradient of scale * their sum, added to grad; an empty grad is not wanted
    answers = (targets, sample_weight, class_weight, smoothing, scale)
    turn, room = np.zeros(1, np.int64), np.empty(grad.size * team_size(team), grad.dtype)
    network = (params, sizes, activation)
    more = (team, turn, on_huge_pages(room), X, order, answers, network, losses, grad)
    share_each(team, -(-order.size // GROUP), _cross_entropy_groups, more)


@kernel
def network_squared_error_rows(
    X, targets, sample_weight, class_weight, smoothing, scale, params, sizes, activation, order, losses, grad, team=0
):
    # the same for squared_error_rows
    answers = (targets, sample_weight, class_weight, smoothing, scale)
    turn, room = np.zeros(1, np.int64), np.empty(grad.size * team_size(team), grad.dtype)
    network = (params, sizes, activation)
    more = (team, turn, on_huge_pages(room), X, order, answers, network, losses, grad)
    share_each(team, -(-order.size // GROUP), _squared_error_groups, more)


@kernel
def network_cross_entropy_epoch(
    X, targets, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling, batch_size,
    penalty, grad, moment, squares, rule,
):  # fmt: skip
    # every row once, a step of the rule after each batch; shuffling (1,) uint64 is the state of `shuffle`, or empty.
    # penalty = (strength, pins_first_class, fits_bias), see penalise. -> the sum of what rows lose, as met, and of
    # their weights: loss and penalty times weight, added up over the batches
    answers, network = (targets, sample_weight, class_weight, smoothing), (params, sizes, activation)
    batches, steps = (order, shuffling, batch_size), (penalty, grad, moment, squares, rule)
    return _epoch(cross_entropy_rows, X, answers, network, batches, steps)


@kernel
def network_squared_error_epoch(
    X, targets, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling, batch_size,
    penalty, grad, moment, squares, rule,
):  # fmt: skip
    # the same for squared_error_rows
    answers, network = (targets, sample_weight, class_weight, smoothing), (params, sizes, activation)
    batches, steps = (order, shuffling, batch_size), (penalty, grad, moment, squares, rule)
    return _epoch(squared_error_rows, X, answers, network, batches, steps)


@outline
def _epoch(loss_rows, X, answers, network, batches, steps):
    targets, sample_weight, class_weight, smoothing = answers
    params, sizes, _ = network
    order, shuffling, batch_size = batches
    penalty, grad, moment, squares, rule = steps
    if shuffling.size:
        shuffle(order, shuffling)
    some = np.empty((batch_size, *targets.shape[1:]), targets.dtype)
    by_row, losses = np.empty(batch_size if sample_weight.size else 0), np.empty(batch_size)
    rows = network_block_rows(params, sizes)
    room, delta, packed = network_rooms(params, sizes, rows)
    gathered = np.empty(rows * sizes[0] * _is_dense(X), params.dtype)
    lost, weighed = 0.0, 0.0
    for first in range(0, order.size, batch_size):
        count = min(batch_size, order.size - first)
        take(targets, order, first, count, some)
        if sample_weight.size:
            take(sample_weight, order, first, count, by_row)
        here, weights = rows_of(some, 0, count), weights_of(by_row, 0, count)
        weight = weight_taking_part(here, weights, class_weight)[1]
        if weight > 0.0:
            scale = 1.0 / weight
            for start in range(0, count, rows):
                n = min(rows, count - start)
                z = forward(X, order, first + start, n, network, gathered, room, rows)
                targets_here, weights_here = rows_of(some, start, n), weights_of(by_row, start, n)
                loss_rows(z, targets_here, weights_here, class_weight, smoothing, scale, part(losses, start, n), z)
                backward(X, order, first + start, n, network, gathered, room, rows, delta, packed, grad, start > 0)
            met = sum_row(part(losses, 0, count))
            lost += met + weight * penalise(params, sizes, penalty, grad)
            weighed += weight
            descend(params, grad, moment, squares, rule)
    return lost, weighed


# Groups of rows, dealt out to threads; a group's gradient is added when it is its turn


@kernel
def _cross_entropy_groups(first, last, team, turn, room, X, order, answers, network, losses, grad):
    _groups(cross_entropy_rows, first, last, team, turn, room, X, order, answers, network, losses, grad)


@kernel
def _squared_error_groups(first, last, team, turn, room, X, order, answers, network, losses, grad):
    _groups(squared_error_rows, first, last, team, turn, room, X, order, answers, network, losses, grad)


@outline
def _groups(loss_rows, first, last, team, turn, sums, X, order, answers, network, losses, grad):
    targets, sample_weight, class_weight, smoothing, scale = answers
    params, sizes, _ = network
    rows = network_block_rows(params, sizes)
    room, delta, packed = network_rooms(params, sizes, rows)
    gathered = np.empty(rows * sizes[0] * _is_dense(X), params.dtype)
    for group in range(first, last):
        mine = part(sums, group % team_size(team) * grad.size, grad.size)
        end = min(order.size, (group + 1) * GROUP)
        for start in range(group * GROUP, end, rows):
            n = min(rows, end - start)
            z = forward(X, order, start, n, network, gathered, room, rows)
            here, weights = rows_of(targets, start, n), weights_of(sample_weight, start, n)
            loss_rows(z, here, weights, class_weight, smoothing, scale, part(losses, start, n), z)
            if grad.size:
                adds = start > group * GROUP
                backward(X, order, start, n, network, gathered, room, rows, delta, packed, mine, adds)
        if not await_turn(team, np.int64(turn.ctypes.data), group):
            return
        if grad.size:
            add_to(grad, mine)
        pass_turn(team, np.int64(turn.ctypes.data), group + 1)


# A block of rows, forward and backward


@kernel
def network_block_rows(params, sizes):
    # as many rows as a block has: of the tiles, and such that a third of a core's L2 holds the block
    size = max(1, sizes.sum() * params.itemsize)
    return ROWS * (5 if 5 * ROWS * size <= BLOCK_BYTES else 2 if 2 * ROWS * size <= BLOCK_BYTES else 1)


@kernel
def network_rooms(params, sizes, rows):
    # for a block: activations of the layers after the first, in turn; the cotangent on its way; factors of a tile
    room = np.empty(rows * sizes[1:].sum(), params.dtype)
    return room, np.empty(rows * sizes[1:].max(), params.dtype), np.empty(max(CHUNK, rows) * PACKED, params.dtype)


@outline
def forward(X, order, first, count, network, gathered, room, rows):
    # the logits of rows order[first : first + count], (count, n_classes), a part of the room
    params, sizes, activation = network
    first_layer(X, order, first, count, params, sizes, gathered, room)
    return _later_layers(count, params, sizes, activation, room, rows)


@kernel
def _later_layers(count, params, sizes, activation, room, rows):
    n_layers, at, a = sizes.size - 1, sizes[1] * (sizes[0] + 1), 0
    for k in range(1, n_layers):
        n_in, n_out = sizes[k], sizes[k + 1]
        inputs = matrix(room, a, count, n_in)
        activate(inputs, activation)
        a += rows * n_in
        weight, bias = matrix(params, at, n_out, n_in), part(params, at + n_out * n_in, n_out)
        logits_block(inputs, 0, count, weight, bias, NONE, n_out, pointer(matrix(room, a, count, n_out)))
        at += n_out * (n_in + 1)
    return matrix(room, a, count, sizes[n_layers])


@outline
def backward(X, order, first, count, network, gathered, room, rows, delta, packed, grad, adds):
    # dL/dlogits, which has taken the place of the logits in the room -> grad, added to it or put there
    params, sizes, activation = network
    _later_layers_back(count, params, sizes, activation, room, rows, delta, packed, grad, adds)
    first_layer_back(X, order, first, count, sizes, gathered, room, packed, grad, adds)


@kernel
def _later_layers_back(count, params, sizes, activation, room, rows, delta, packed, grad, adds):
    n_layers = sizes.size - 1
    at, a = params.size, rows * sizes[1:].sum()
    a -= rows * sizes[n_layers]
    for k in range(n_layers - 1, 0, -1):
        n_in, n_out = sizes[k], sizes[k + 1]
        at -= n_out * (n_in + 1)
        cotangent, inputs = matrix(room, a, count, n_out), matrix(room, a - rows * n_in, count, n_in)
        grad_weight = matrix(grad, at, n_out, n_in)
        grad_weight_block(cotangent, inputs, 0, count, NONE, n_out, adds, grad_weight, NONE, packed)
        grad_bias_block(cotangent, NONE, n_out, adds, part(grad, at + n_out * n_in, n_out))
        below = matrix(delta, 0, count, n_in)
        grad_X_block(cotangent, NONE, count, matrix(params, at, n_out, n_in), NONE, below, packed)
        times_slope(below, inputs, activation)
        a -= rows * n_in


# The first layer reads X: a dense one by gathering rows, a CSR matrix where it lies


def first_layer(X, order, first, count, params, sizes, gathered, room):
    """Its z (count, n_out), at the beginning of the room."""
    layer = _first_layer_csr if isinstance(X, tuple) else _first_layer_dense
    layer(X, order, first, count, params, sizes, gathered, room)


def first_layer_back(X, order, first, count, sizes, gathered, room, packed, grad, adds):
    """Its gradient from dL/dz, which has taken the place of z."""
    layer = _first_layer_csr_back if isinstance(X, tuple) else _first_layer_dense_back
    layer(X, order, first, count, sizes, gathered, room, packed, grad, adds)


@kernel
def _first_layer_dense(X, order, first, count, params, sizes, gathered, room):
    n_in, n_out = sizes[0], sizes[1]
    take(X, order, first, count, matrix(gathered, 0, count, n_in))
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    logits_block(matrix(gathered, 0, count, n_in), 0, count, weight, bias, NONE, n_out, pointer(room))


@kernel
def _first_layer_dense_back(X, order, first, count, sizes, gathered, room, packed, grad, adds):
    n_in, n_out = sizes[0], sizes[1]
    cotangent, inputs = matrix(room, 0, count, n_out), matrix(gathered, 0, count, n_in)
    grad_weight_block(cotangent, inputs, 0, count, NONE, n_out, adds, matrix(grad, 0, n_out, n_in), NONE, packed)
    grad_bias_block(cotangent, NONE, n_out, adds, part(grad, n_out * n_in, n_out))


@kernel
def _first_layer_csr(X, order, first, count, params, sizes, gathered, room):
    n_in, n_out = sizes[0], sizes[1]
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    csr_rows_logits(X, order, first, weight, bias, matrix(room, 0, count, n_out))


@kernel
def _first_layer_csr_back(X, order, first, count, sizes, gathered, room, packed, grad, adds):
    n_in, n_out = sizes[0], sizes[1]
    cotangent = matrix(room, 0, count, n_out)
    csr_rows_grad_weight(X, order, first, cotangent, adds, matrix(grad, 0, n_out, n_in))
    grad_bias_block(cotangent, NONE, n_out, adds, part(grad, n_out * n_in, n_out))


@overload(first_layer, inline="always")
def _first_layer_jitted(X, order, first, count, params, sizes, gathered, room):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, params, sizes, gathered, room):
            _first_layer_csr(X, order, first, count, params, sizes, gathered, room)

        return csr

    def dense(X, order, first, count, params, sizes, gathered, room):
        _first_layer_dense(X, order, first, count, params, sizes, gathered, room)

    return dense


@overload(first_layer_back, inline="always")
def _first_layer_back_jitted(X, order, first, count, sizes, gathered, room, packed, grad, adds):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, sizes, gathered, room, packed, grad, adds):
            _first_layer_csr_back(X, order, first, count, sizes, gathered, room, packed, grad, adds)

        return csr

    def dense(X, order, first, count, sizes, gathered, room, packed, grad, adds):
        _first_layer_dense_back(X, order, first, count, sizes, gathered, room, packed, grad, adds)

    return dense


def _is_dense(X):
    """1 for a matrix, 0 for the arrays of a CSR matrix."""
    return 0 if isinstance(X, tuple) else 1


@overload(_is_dense)
def _is_dense_jitted(X):
    return (lambda X: 0) if isinstance(X, types.BaseTuple) else (lambda X: 1)


@kernel
def take(source, order, first, count, out):
    # row i of out is row order[first + i] of the source (N,) or (N, D), i < count
    if source.ndim == 1:
        for i in range(count):
            out[i] = source[order[first + i]]
    else:
        width, x, y = source.shape[1], pointer(source), pointer(out)
        for i in range(count):
            start = order[first + i] * width
            for j in range(0, width, lanes(source)):
                some = min(lanes(source), width - j)
                store_some(load_some(x, start + j, some, 0), y, i * width + j, some)


@kernel
def penalise(params, sizes, penalty, grad):
    # penalty = (strength, pins_first_class, fits_bias): grad of strength / 2 sum_k |W_k|^2 is added to grad, whose
    # entries for what stays as it is (the first class of two, biases) become 0. -> the penalty
    strength, pins_first_class, fits_bias = penalty
    at, squares, n_layers = 0, 0.0, sizes.size - 1
    for k in range(n_layers):
        n_in, n_out = sizes[k], sizes[k + 1]
        end = at + n_out * n_in
        if strength != 0.0:
            squares += dot_row(pointer(params), at, pointer(params), at, end - at)
            add_scaled(params, at, end, strength, grad)
        if not fits_bias:
            grad[end : end + n_out] = 0
        if pins_first_class and k == n_layers - 1:
            grad[at : at + n_in] = 0
            grad[end] = 0
        at = end + n_out
    return 0.5 * strength * squares


@step
def add_scaled(params, first, last, factor, grad):
    # grad_j += factor params_j, first <= j < last
    for j in range(first, last, lanes(params)):
        some = min(lanes(params), last - j)
        g = load_some(pointer(grad), j, some, 0)
        store_some(fma(load_some(pointer(params), j, some, 0), splat(params, factor), g), pointer(grad), j, some)
