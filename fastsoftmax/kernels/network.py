"""A network of dense layers with softmax and a loss on top: loss and gradients of many rows, and a whole epoch.

sizes (K + 1,) int64 are n_features, the units of each hidden layer, n_classes. params (P,) holds the layers one after
another: weight (n_out, n_in), then bias (n_out,); grad (P,) likewise. X (N, D), or (data, indices, indptr) of a CSR
matrix, is read by `order` (N,): its rows in the order in which they are taken, block by block (network_blocks.py).
Targets and weights as in losses.py; where rows are summed, they, and the losses, come in the order of the rows taken.

An epoch is one call, shuffling and steps included (digits, batches of 32: 2 us a batch; a call from Python for each
would cost more than that).
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, outline, step
from fastsoftmax.kernels._views import on_huge_pages, part
from fastsoftmax.kernels.dense import add_to
from fastsoftmax.kernels.losses import (
    cross_entropy_rows,
    rows_of,
    squared_error_rows,
    weight_taking_part,
    weights_of,
)
from fastsoftmax.kernels.network_blocks import backward, forward, is_dense, network_block_rows, network_rooms, take
from fastsoftmax.kernels.optimizers import descend, shuffle
from fastsoftmax.kernels.passes import GROUP
from fastsoftmax.kernels.simd import fma, lanes, load_some, pointer, splat, store_some
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
    gathered = np.empty(rows * sizes[0] * is_dense(X), params.dtype)
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
    gathered = np.empty(rows * sizes[0] * is_dense(X), params.dtype)
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
