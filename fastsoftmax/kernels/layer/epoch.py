"""An epoch of a network (network.py): every row once, a step of the optimiser after each batch, in one call.

(Digits, batches of 32: 2 us a batch; a call from Python for each would cost more than that.)

A batch goes through in two phases, in each of which threads take pieces of it: blocks of rows go forward, through the
loss, and back to dL/dz of every layer, which stay in a room (network_blocks.py); then some units of a layer each get
their gradient from all those rows, and take their step while it lies in the cache. So a thread needs no gradient of its
own, and sums over rows are the same for any number of threads: those of blocks of network_block_rows rows, added up in
their order. (256 rows, 784 -> 256 -> 128 -> 10, float32: 2 hand-overs in 1 to 2 ms.)

Of a CSR matrix whose rows hold few of its features, sgd's steps touch those of the batch alone: see lazy.py.
"""

import numpy as np

from fastsoftmax.kernels.closures import bind, call, keep
from fastsoftmax.kernels.fit.optimizers import STEPS, descend_part, shuffle
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.layer.dense import NONE, grad_bias_block
from fastsoftmax.kernels.layer.lazy import (
    begin_features,
    end_features,
    is_lazy,
    lazy_grad_weight,
    lazy_logits,
    meet_features,
    step_features,
)
from fastsoftmax.kernels.layer.network import (
    UNITS,
    cross_entropy_of_block,
    penalise_units,
    squared_error_of_block,
)
from fastsoftmax.kernels.layer.network_blocks import (
    cotangent_of_layer,
    forward,
    hidden_cotangents,
    is_dense,
    later_layers,
    later_unit_grads,
    layer_place,
    network_block_rows,
    new_packed,
    new_room,
    take,
    unit_grads,
    units_before,
)
from fastsoftmax.kernels.rows.targets import targets_of_rows, weight_taking_part, weights_of
from fastsoftmax.kernels.rows.vecmath import sum_row
from fastsoftmax.kernels.simd import outer_band
from fastsoftmax.kernels.threads import share_each, team_size
from fastsoftmax.kernels.views import matrix, part

ROOM_BYTES = 4 * 2**20  # for what the rows of a batch leave on their way; a larger batch goes through in turns
PIECES = 4  # of a batch's rows, for each thread


@kernel
def network_cross_entropy_epoch(
    X, labels, distribution, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling,
    batch_size, penalty, grad, moment, squares, rule, team,
):  # fmt: skip
    # every row once, a step of the rule after each batch; shuffling (1,) uint64 is the state of `shuffle`, or empty.
    # penalty = (strength, pins_first_class, fits_bias), see penalise. -> the sum of what rows lose, as met, and of
    # their weights: loss and penalty times weight, added up over the batches
    batch = _new_batch(batch_size, labels, distribution, sample_weight)
    targets = (*batch[:3], class_weight, smoothing, *batch[3:])
    loss = bind(cross_entropy_of_block, targets, (NONE, matrix(grad, 0, 0, 0)))
    network, batches = (params, sizes, activation), (order, shuffling, batch_size)
    given, steps = (labels, distribution, sample_weight, class_weight), (penalty, grad, moment, squares, rule)
    result = _epoch(team, X, given, loss, batch, network, batches, steps)
    keep(targets)
    return result


@kernel
def network_squared_error_epoch(
    X, labels, distribution, sample_weight, class_weight, smoothing, params, sizes, activation, order, shuffling,
    batch_size, penalty, grad, moment, squares, rule, team,
):  # fmt: skip
    # the same for squared_error_rows
    batch = _new_batch(batch_size, labels, distribution, sample_weight)
    targets = (*batch[:3], class_weight, smoothing, *batch[3:])
    loss = bind(squared_error_of_block, targets, (NONE, matrix(grad, 0, 0, 0)))
    network, batches = (params, sizes, activation), (order, shuffling, batch_size)
    given, steps = (labels, distribution, sample_weight, class_weight), (penalty, grad, moment, squares, rule)
    result = _epoch(team, X, given, loss, batch, network, batches, steps)
    keep(targets)
    return result


@inlined
def _new_batch(size, labels, distribution, sample_weight):
    # labels, distribution, weights of the rows of a batch, filled anew for each; the scale of its gradient, its losses
    some = np.empty(size if labels.size else 0, np.int64)
    soft = np.empty((0 if labels.size else size, distribution.shape[1]), distribution.dtype)
    return some, soft, np.empty(size if sample_weight.size else 0), np.empty(1), np.empty(size)


@routine
def _epoch(team, X, given, loss, batch, network, batches, steps):
    (params, sizes, _), (order, shuffling, batch_size) = network, batches
    scale, losses, rule = batch[3], batch[4], steps[4]
    if shuffling.size:
        shuffle(order, shuffling)
    rows = network_block_rows(params, sizes)
    at_once = rows * max(1, ROOM_BYTES // (rows * (sizes[0] + 2 * units_before(sizes, sizes.size)) * params.itemsize))
    room = new_room(is_dense(X), params, sizes, min(batch_size, at_once))
    packed, sums = new_packed(params, rows), np.empty(units_before(sizes, sizes.size))
    loss_sum, weight_sum, n_batches, n_steps = 0.0, 0.0, -(-order.size // batch_size), NONE
    lazy = is_lazy(X, sizes[0], n_batches, rule)
    features = begin_features(team, lazy, sizes, params, steps[2], steps[0][0], rule, n_batches)
    for first in range(0, order.size, batch_size):
        count = min(batch_size, order.size - first)
        weight = _take_targets(given, order, first, count, batch)
        if weight > 0.0:
            scale[0] = 1.0 / weight
            rule[STEPS] += 1.0
            squares = 0.0
            if lazy:
                where = (X, order, first, count, n_steps)
                squares = _lazy_batch(where, loss, network, room, packed, steps, sums, features)
            for start in range(0, NONE if lazy else count, at_once):
                n = min(at_once, count - start)
                _forward_and_back(team, X, order, first + start, start, n, loss, network, room, packed)
                turn = (first + start, n, start > 0, start + n == count)
                squares = _grads_and_step(team, X, order, turn, rows, network, room, packed, steps, sums)
            loss_sum += sum_row(part(losses, 0, count)) + weight * (0.5 * steps[0][0] * squares)
            weight_sum += weight
            n_steps += 1
    if lazy:
        end_features(team, n_steps, sizes, params, steps[2], features)
    return loss_sum, weight_sum


@inlined
def _take_targets(given, order, first, count, batch):
    # those of rows order[first : first + count] into the batch -> the sum of their weights
    labels, distribution, sample_weight, class_weight = given
    some, soft, by_row, _, _ = batch
    if labels.size:
        for i in range(count):
            some[i] = labels[order[first + i]]
    else:
        take(distribution, order, first, count, soft)
    if sample_weight.size:
        for i in range(count):
            by_row[i] = sample_weight[order[first + i]]
    here, soft_here = targets_of_rows(some, soft, NONE, count)
    return weight_taking_part(here, soft_here, weights_of(by_row, NONE, count), class_weight)[1]


@inlined
def _forward_and_back(team, X, order, first, start, count, loss, network, room, packed):
    # rows order[first : first + count], which are rows `start` .. of the batch, to dL/dz of each layer
    rows = network_block_rows(network[0], network[1])
    if team != 0:
        rows = min(rows, 16 * -(-count // (16 * PIECES * team_size(team))))
    arguments = (team, rows, X, order, first, start, count, loss, network, room, packed)
    share_each(team, -(-count // rows), _row_pieces, arguments)


@routine
def _row_pieces(first_piece, last_piece, team, rows, X, order, first, start, count, loss, network, room, packed):
    own = packed if team == 0 else new_packed(network[0], rows)
    for piece in range(first_piece, last_piece):
        at = piece * rows
        n = min(rows, count - at)
        call(loss, (start + at, forward(X, order, first + at, n, network, room, at)))
        hidden_cotangents(n, network, room, at, own)


@inlined
def _grads_and_step(team, X, order, turn, rows, network, room, packed, steps, sums):
    # the gradient of the rows in the room, added to grad or put there, and a step if they are the last of the batch;
    # -> then the sum of the squares of all weights before it
    sizes, strength = network[1], steps[0][0]
    n_pieces = 0
    for k in range(sizes.size - 1):
        n_pieces += 1 if team == 0 else -(-sizes[k + 1] // outer_band())
    share_each(team, n_pieces, _unit_pieces, (team, X, order, turn, rows, network, room, packed, steps, sums))
    return _squares_of_layers(NONE, sizes, sums) if strength != 0.0 and turn[3] else 0.0


@inlined
def _squares_of_layers(first, sizes, sums):
    # of layer `first` and those after it, as penalise_units left them
    squares = 0.0
    for k in range(first, sizes.size - 1):
        for unit in range(0, sizes[k + 1], UNITS):
            squares += sums[units_before(sizes, k + 1) + unit]
    return squares


@routine
def _unit_pieces(first_piece, last_piece, team, X, order, turn, rows, network, room, packed, steps, sums):
    params, sizes, _ = network
    own = packed if team == 0 else new_packed(params, rows)
    piece = 0
    for k in range(sizes.size - 1):
        n_out = sizes[k + 1]
        band = n_out if team == 0 else outer_band()
        for unit in range(0, n_out, band):
            if first_piece <= piece < last_piece:
                some = min(band, n_out - unit)
                _units(X, order, turn, rows, k, unit, some, network, room, own, steps, sums)
            piece += 1


@inlined
def _units(X, order, turn, rows, k, unit, n_units, network, room, packed, steps, sums):
    (first, count, adds, is_last), (params, sizes, _) = turn, network
    penalty, grad, moment, squares, rule = steps
    for at in range(0, count, rows):
        n, more = min(rows, count - at), adds or at > 0
        unit_grads(X, order, first + at, n, sizes, k, unit, n_units, room, at, packed, grad, more)
    if is_last:
        place, n_in, n_out = layer_place(sizes, k)
        here = part(sums, units_before(sizes, k + 1), n_out)
        penalise_units(params, sizes, k, unit, unit + n_units, penalty, grad, here)
        start, bias = place + unit * n_in, place + n_out * n_in + unit
        descend_part(params, grad, moment, squares, rule, start, start + n_units * n_in)
        descend_part(params, grad, moment, squares, rule, bias, bias + n_units)


@routine
def _lazy_batch(where, loss, network, room, packed, steps, sums, features):
    # a batch whose first layer's features are taken lazily -> the sum of the squares of all weights before its step
    (X, order, first, count, n_steps), (params, sizes, _) = where, network
    (strength, pins_first, fits_bias), grad, moment, squares, rule = steps
    n_in, n_out, capacity = sizes[0], sizes[1], room[0]
    n_met = meet_features(X, order, first, count, n_steps, n_out, features, grad)
    bias, first_bias = part(params, n_in * n_out, n_out), part(grad, n_in * n_out, n_out)
    for start in range(0, count, capacity):
        n = min(capacity, count - start)
        z = matrix(room[2], NONE, n, n_out)
        lazy_logits(X, order, first + start, features, bias, z)
        call(loss, (start, later_layers(n, network, room, NONE)))
        hidden_cotangents(n, network, room, NONE, packed)
        cotangent = cotangent_of_layer(sizes, NONE, room, NONE, n)
        lazy_grad_weight(X, order, first + start, cotangent, features, grad)
        grad_bias_block(cotangent, NONE, n_out, start > 0, first_bias)
        for k in range(1, sizes.size - 1):
            later_unit_grads(n, sizes, k, NONE, sizes[k + 1], room, NONE, packed, grad, start > 0)
    pins = pins_first and sizes.size == 2
    total = step_features(n_met, n_steps, n_out, pins, strength, rule, features, grad)
    first_bias[: 0 if fits_bias else n_out] = 0
    first_bias[: 1 if pins else 0] = 0
    for k in range(1, sizes.size - 1):
        here = part(sums, units_before(sizes, k + 1), sizes[k + 1])
        total += penalise_units(params, sizes, k, NONE, sizes[k + 1], steps[0], grad, here)
    descend_part(params, grad, moment, squares, rule, n_in * n_out, params.size)
    return total
