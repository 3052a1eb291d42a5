"""A network of dense layers with softmax and a loss on top: loss and gradients of many rows, and a whole epoch.

sizes (K + 1,) int64 are n_features, the units of each hidden layer, n_classes. params (P,) holds the layers one after
another: weight (n_out, n_in), then bias (n_out,); grad (P,) likewise. X (N, D), or (data, indices, indptr) of a CSR
matrix, is read by `order` (N,): its rows in the order in which they are taken, block by block (network_blocks.py).
Targets and weights as in rows/losses.py; where rows are summed, they, and the losses, come in the order of the rows
taken.

An epoch is one call, shuffling and steps included (digits, batches of 32: 2 us a batch; a call from Python for each
would cost more than that). What a loss does to a block of logits is a closure (closures.py) of (first row, z).
"""

import numpy as np

from fastsoftmax.kernels.closures import bind, call, keep
from fastsoftmax.kernels.fit.optimizers import descend, shuffle
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.layer.dense import NONE, add_to
from fastsoftmax.kernels.layer.network_blocks import (
    backward,
    forward,
    is_dense,
    network_block_rows,
    network_workspaces,
    take,
)
from fastsoftmax.kernels.layer.passes import GROUP
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.targets import targets_of_rows, weight_taking_part, weights_of
from fastsoftmax.kernels.rows.vecmath import dot_row, sum_row
from fastsoftmax.kernels.simd import fma, lanes, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import await_turn, pass_turn, share_each, team_size
from fastsoftmax.kernels.views import matrix, on_huge_pages, part


@kernel
def network_cross_entropy_rows(
    X, labels, distribution, sample_weight, class_weight, smoothing, scale, params, sizes, activation, order, losses,
    grad, team,
):  # fmt: skip
    # losses (N,) as cross_entropy_rows gives them for the logits of the network (in the order `order`), and the
    # gradient of scale * their sum, added to grad; an empty grad is not wanted
    targets = (labels, distribution, sample_weight, class_weight, smoothing, np.full(1, scale), losses)
    _rows(team, X, order, bind(_cross_entropy, targets, (NONE, matrix(grad, 0, 0, 0))), params, sizes, activation, grad)
    keep(targets)


@kernel
def network_squared_error_rows(
    X, labels, distribution, sample_weight, class_weight, smoothing, scale, params, sizes, activation, order, losses,
    grad, team,
):  # fmt: skip
    # the same for squared_error_rows
    targets = (labels, distribution, sample_weight, class_weight, smoothing, np.full(1, scale), losses)
    _rows(team, X, order, bind(_squared_error, targets, (NONE, matrix(grad, 0, 0, 0))), params, sizes, activation, grad)
    keep(targets)


@kernel
def network_cross_entropy_epoch(
    X, labels, distribution, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling,
    batch_size, penalty, grad, moment, squares, rule,
):  # fmt: skip
    # every row once, a step of the rule after each batch; shuffling (1,) uint64 is the state of `shuffle`, or empty.
    # penalty = (strength, pins_first_class, fits_bias), see penalise. -> the sum of what rows lose, as met, and of
    # their weights: loss and penalty times weight, added up over the batches
    batch = _new_batch(batch_size, labels, distribution, sample_weight)
    targets = (*batch[:3], class_weight, smoothing, *batch[3:])
    loss = bind(_cross_entropy, targets, (NONE, matrix(grad, 0, 0, 0)))
    network, batches = (params, sizes, activation), (order, shuffling, batch_size)
    given, steps = (labels, distribution, sample_weight, class_weight), (penalty, grad, moment, squares, rule)
    result = _epoch(X, given, loss, batch, network, batches, steps)
    keep(targets)
    return result


@kernel
def network_squared_error_epoch(
    X, labels, distribution, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling,
    batch_size, penalty, grad, moment, squares, rule,
):  # fmt: skip
    # the same for squared_error_rows
    batch = _new_batch(batch_size, labels, distribution, sample_weight)
    targets = (*batch[:3], class_weight, smoothing, *batch[3:])
    loss = bind(_squared_error, targets, (NONE, matrix(grad, 0, 0, 0)))
    network, batches = (params, sizes, activation), (order, shuffling, batch_size)
    given, steps = (labels, distribution, sample_weight, class_weight), (penalty, grad, moment, squares, rule)
    result = _epoch(X, given, loss, batch, network, batches, steps)
    keep(targets)
    return result


@inlined
def _cross_entropy(first, z, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights, out = weights_of(sample_weight, first, len(z)), part(losses, first, len(z))
    cross_entropy_rows(z, some, soft, weights, class_weight, smoothing, scale[0], out, z, NONE)


@inlined
def _squared_error(first, z, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights, out = weights_of(sample_weight, first, len(z)), part(losses, first, len(z))
    squared_error_rows(z, some, soft, weights, class_weight, smoothing, scale[0], out, z, NONE)


@inlined
def _new_batch(size, labels, distribution, sample_weight):
    # labels, distribution, weights of the rows of a batch, filled anew for each; the scale of its gradient, its losses
    some = np.empty(size if labels.size else 0, np.int64)
    soft = np.empty((0 if labels.size else size, distribution.shape[1]), distribution.dtype)
    return some, soft, np.empty(size if sample_weight.size else 0), np.empty(1), np.empty(size)


@routine
def _epoch(X, given, loss, batch, network, batches, steps):
    labels, distribution, sample_weight, class_weight = given
    some, soft, by_row, scale, losses = batch
    params, sizes, _ = network
    order, shuffling, batch_size = batches
    penalty, grad, moment, squares, rule = steps
    if shuffling.size:
        shuffle(order, shuffling)
    rows = network_block_rows(params, sizes)
    workspace, delta, packed = network_workspaces(params, sizes, rows)
    gathered = np.empty(rows * sizes[0] * is_dense(X), params.dtype)
    loss_sum, weight_sum = 0.0, 0.0
    for first in range(0, order.size, batch_size):
        count = min(batch_size, order.size - first)
        if labels.size:
            for i in range(count):
                some[i] = labels[order[first + i]]
        else:
            take(distribution, order, first, count, soft)
        if sample_weight.size:
            for i in range(count):
                by_row[i] = sample_weight[order[first + i]]
        here, soft_here = targets_of_rows(some, soft, NONE, count)
        weight = weight_taking_part(here, soft_here, weights_of(by_row, NONE, count), class_weight)[1]
        if weight > 0.0:
            scale[0] = 1.0 / weight
            for start in range(0, count, rows):
                n = min(rows, count - start)
                z = forward(X, order, first + start, n, network, gathered, workspace, rows)
                call(loss, (start, z))
                backward(X, order, first + start, n, network, gathered, workspace, rows, delta, packed, grad, start > 0)
            met = sum_row(part(losses, 0, count))
            loss_sum += met + weight * penalise(params, sizes, penalty, grad)
            weight_sum += weight
            descend(params, grad, moment, squares, rule)
    return loss_sum, weight_sum


# Reduction groups of rows, dealt out to threads; a group's gradient is added when it is its turn


@inlined
def _rows(team, X, order, loss, params, sizes, activation, grad):
    ticket, sums = np.zeros(1, np.int64), on_huge_pages(np.empty(grad.size * team_size(team), grad.dtype))
    arguments = (team, ticket, sums, X, order, loss, params, sizes, activation, grad)
    share_each(team, -(-order.size // GROUP), _groups, arguments)


@routine
def _groups(first, last, team, ticket, sums, X, order, loss, params, sizes, activation, grad):
    network, rows = (params, sizes, activation), network_block_rows(params, sizes)
    workspace, delta, packed = network_workspaces(params, sizes, rows)
    gathered = np.empty(rows * sizes[0] * is_dense(X), params.dtype)
    for group in range(first, last):
        mine = part(sums, group % team_size(team) * grad.size, grad.size)
        end = min(order.size, (group + 1) * GROUP)
        for start in range(group * GROUP, end, rows):
            n = min(rows, end - start)
            z = forward(X, order, start, n, network, gathered, workspace, rows)
            call(loss, (start, z))
            if grad.size:
                adds = start > group * GROUP
                backward(X, order, start, n, network, gathered, workspace, rows, delta, packed, mine, adds)
        if not await_turn(team, np.int64(ticket.ctypes.data), group):
            return
        if grad.size:
            add_to(grad, mine)
        pass_turn(team, np.int64(ticket.ctypes.data), group + 1)


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


@inlined
def add_scaled(params, first, last, factor, grad):
    # grad_j += factor params_j, first <= j < last
    for j in range(first, last, lanes(params)):
        some = min(lanes(params), last - j)
        g = load_masked(pointer(grad), j, some, 0)
        store_masked(fma(load_masked(pointer(params), j, some, 0), splat(params, factor), g), pointer(grad), j, some)
