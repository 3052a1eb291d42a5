"""Batches of a network (network.py) in one call, a step of the optimiser after each: an epoch, or a part of it.

(Digits, batches of 32: 2 us a batch; a call from Python for each would cost more than that.)

A batch goes through in two phases, in each of which threads take pieces of it: blocks of rows go forward, through the
loss, and back to dL/dz of every layer, which stay in a workspace (network_blocks.py); then some units of a layer each
get their gradient from all those rows, and take their step while it lies in the cache. So a thread needs no gradient of
its own, and sums over rows are the same for any number of threads: those of blocks of network_block_rows rows, added up
in their order. (256 rows, 784 -> 256 -> 128 -> 10, float32: 2 hand-overs in 1 to 2 ms.)

Of a CSR matrix whose rows hold few of its features, sgd's steps touch those of the batch alone: see lazy.py.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.board import team_size
from fastsoftmax.kernels.closures import bind, call, keep
from fastsoftmax.kernels.fit.optimizers import STEPS, descend_part
from fastsoftmax.kernels.jit import inlined, inlined_overload, kernel, routine
from fastsoftmax.kernels.layer.dense import grad_bias_block
from fastsoftmax.kernels.layer.lazy import (
    begin_features,
    end_features,
    is_lazy,
    lazy_grad_weight,
    lazy_logits,
    meet_features,
    step_features,
)
from fastsoftmax.kernels.layer.network import batch_loss, penalise_units
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
    new_workspace,
    pieces_of_layer,
    take,
    unit_grads,
    units_before,
)
from fastsoftmax.kernels.rows.targets import targets_of_rows, weight_taking_part, weights_of
from fastsoftmax.kernels.rows.vecmath import sum_row
from fastsoftmax.kernels.threads import share_near
from fastsoftmax.kernels.views import matrix, part

WORKSPACE_BYTES = 4 * 2**20  # for what the rows of a batch leave on their way; a larger batch goes through in turns
PIECES = 4  # of a batch's rows, for each thread
# Of the rows on their way: the first of them in order, and in the batch; how many, and in a piece; whether a step comes
FIRST, START, COUNT, ROWS, ENDS = range(5)
TURN_SIZE = 5


@kernel(counts_references=True)
def network_loss_epoch(
    loss, X, labels, distribution, sample_weight, class_weight, smoothing, params, sizes, activation, order,
    batch_size, penalty, grad, moment, squares, rule, team,
):  # fmt: skip
    # the rows of X in `order`, a step of the rule after each batch. loss: a number of losses.py. penalty = (strength,
    # pins_first_class, fits_bias), see penalise. -> the sum of what rows lose, as met, and of their weights: loss and
    # penalty times weight, added up over the batches
    given, network = (labels, distribution, sample_weight, class_weight), (params, sizes, activation)
    steps, batch = (penalty, grad, moment, squares, rule), _new_batch(batch_size, labels, distribution, sample_weight)
    targets = (loss, *batch[:3], class_weight, smoothing, *batch[3:])
    on_block = bind(batch_loss, targets, (0, matrix(grad, 0, 0, 0)))
    result = _epoch(team, X, given, on_block, batch, network, (order, batch_size), steps)
    keep(targets)
    return result


@inlined(counts_references=True)
def _new_batch(size, labels, distribution, sample_weight):
    # labels, distribution, weights of the rows of a batch, filled anew for each; the scale of its gradient, its losses
    some = np.empty(size if labels.size else 0, np.int64)
    soft = np.empty((0 if labels.size else size, distribution.shape[1]), distribution.dtype)
    return some, soft, np.empty(size if sample_weight.size else 0), np.empty(1), np.empty(size)


@routine(counts_references=True)
def _epoch(team, X, given, loss, batch, network, batches, steps):
    # makes room for an epoch's batches, and goes through them
    (params, sizes, _), (order, batch_size) = network, batches
    strength, moment, rule = steps[0][0], steps[2], steps[4]
    rows = network_block_rows(params, sizes)
    at_once = rows
    if team != 0:  # alone, one block after another, which stays in L2 (784 -> 256 -> 128 -> 10, AVX2: 56.5 ms, not 60)
        row_bytes = (sizes[0] + 2 * units_before(sizes, sizes.size)) * params.itemsize
        at_once = rows * max(1, WORKSPACE_BYTES // (rows * row_bytes))
    space, workspace = new_workspace(is_dense(X), params, sizes, min(batch_size, at_once))
    own = new_packed(params, rows), np.empty(units_before(sizes, sizes.size)), np.empty(TURN_SIZE, np.int64)
    n_batches = -(-order.size // batch_size)
    lazy = is_lazy(X, sizes[0], sizes[1], order.size, n_batches, rule)
    features = begin_features(X, team, lazy, sizes, params, moment, strength, rule, n_batches)
    sums = _batches(
        team, X, given, loss, batch, network, batches, steps, (rows, at_once, workspace, *own), lazy, features
    )
    keep((space, own, features))
    return sums


@inlined
def _batches(team, X, given, loss, batch, network, batches, steps, space, lazy, features):
    # all batches of an epoch, in the workspace for them
    (params, sizes, _), (order, batch_size), (rows, at_once, workspace, packed, sums, turn) = network, batches, space
    scale, losses, strength, moment, rule = batch[3], batch[4], steps[0][0], steps[2], steps[4]
    loss_sum, weight_sum, n_pieces, n_steps = 0.0, 0.0, _count_pieces(sizes), 0
    # closures, bound once an epoch: what they take would be copied for each batch
    ahead = bind(_row_pieces, (team, turn, X, order, loss, network, workspace, packed), (0, 0))
    back = bind(_unit_pieces, (team, turn, rows, X, order, network, workspace, packed, steps, sums), (0, 0))
    for first in range(0, order.size, batch_size):
        count = min(batch_size, order.size - first)
        weight = _take_targets(given, order, first, count, batch)
        if weight > 0.0:
            scale[0] = 1.0 / weight
            rule[STEPS] += 1.0
            if lazy:
                where = (order, first, count, n_steps)
                squares = lazy_batch(X, where, rows, loss, network, workspace, packed, steps, sums, features)
            else:
                squares = _batch(
                    team, first, count, at_once, rows, turn, (ahead, back), n_pieces, sizes, strength, sums
                )
            loss_sum += sum_row(part(losses, 0, count)) + weight * (0.5 * strength * squares)
            weight_sum += weight
            n_steps += 1
    if lazy:
        end_features(X, team, n_steps, sizes, params, moment, features)
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
    here, soft_here = targets_of_rows(some, soft, 0, count)
    return weight_taking_part(here, soft_here, weights_of(by_row, 0, count), class_weight)[1]


@inlined
def _batch(team, first, count, at_once, rows, turn, phases, n_pieces, sizes, strength, sums):
    # rows order[first : first + count] and a step -> the sum of the squares of all weights before it
    for start in range(0, count, at_once):
        n = min(at_once, count - start)
        some = rows if team == 0 else min(rows, 16 * -(-n // (16 * PIECES * team_size(team))))
        turn[FIRST], turn[START], turn[COUNT], turn[ROWS], turn[ENDS] = (
            first + start,
            start,
            n,
            some,
            start + n == count,
        )
        share_near(team, phases[0], -(-n // some))
        share_near(team, phases[1], n_pieces)
    squares, unit = 0.0, 0
    if strength != 0.0:
        for k in range(sizes.size - 1):
            n_pieces = pieces_of_layer(sizes, k)
            for piece in range(n_pieces):
                squares += sums[unit + sizes[k + 1] * piece // n_pieces]
            unit += sizes[k + 1]
    return squares


@inlined
def _count_pieces(sizes):
    n_pieces = 0
    for k in range(sizes.size - 1):
        n_pieces += pieces_of_layer(sizes, k)
    return n_pieces


@inlined(counts_references=True)
def _row_pieces(first_piece, last_piece, team, turn, X, order, loss, network, workspace, packed):
    # rows of the turn to dL/dz of each layer
    first, start, count, rows = turn[FIRST], turn[START], turn[COUNT], turn[ROWS]
    own = packed if team == 0 else new_packed(network[0], rows)
    for piece in range(first_piece, last_piece):
        at = piece * rows
        n = min(rows, count - at)
        call(loss, (start + at, forward(X, order, first + at, n, network, workspace, at)))
        hidden_cotangents(n, network, workspace, at, own)


@inlined(counts_references=True)
def _unit_pieces(first_piece, last_piece, team, turn, rows, X, order, network, workspace, packed, steps, sums):
    # the gradient of the turn's rows, added to grad or put there, and a step if they are the last of the batch
    first, start, count, (params, sizes, _), grad = turn[FIRST], turn[START], turn[COUNT], network, steps[1]
    own = packed if team == 0 else new_packed(params, rows)
    before = 0  # pieces of the layers before
    for k in range(sizes.size - 1):
        n_pieces, n_units = pieces_of_layer(sizes, k), sizes[k + 1]
        for piece in range(max(0, first_piece - before), min(n_pieces, last_piece - before)):
            unit = n_units * piece // n_pieces
            some = n_units * (piece + 1) // n_pieces - unit
            for at in range(0, count, rows):
                n, adds = min(rows, count - at), start + at > 0
                unit_grads(X, order, first + at, n, sizes, k, unit, some, workspace, at, own, grad, adds)
            if turn[ENDS] != 0:
                step_units(network, k, unit, some, steps, sums)
        before += n_pieces


def lazy_batch(X, where, rows, loss, network, workspace, packed, steps, sums, features):
    """A batch whose features are taken lazily -> the sum of the squares of all weights before its step."""
    return _lazy_batch(X, where, rows, loss, network, workspace, packed, steps, sums, features)


@inlined_overload(lazy_batch)
def _lazy_batch_jitted(X, where, rows, loss, network, workspace, packed, steps, sums, features):
    if not isinstance(X, types.BaseTuple):
        return lambda X, where, rows, loss, network, workspace, packed, steps, sums, features: 0.0

    def csr(X, where, rows, loss, network, workspace, packed, steps, sums, features):
        return _lazy_batch(X, where, rows, loss, network, workspace, packed, steps, sums, features)

    return csr


@routine
def _lazy_batch(X, where, rows, loss, network, workspace, packed, steps, sums, features):
    (order, first, count, n_steps), (params, sizes, _) = where, network
    (strength, pins_first, fits_bias), grad, moment, squares, rule = steps
    n_in, n_out = sizes[0], sizes[1]
    n_met = meet_features(X, order, first, count, n_steps, n_out, features, grad)
    bias, first_bias = part(params, n_in * n_out, n_out), part(grad, n_in * n_out, n_out)
    for start in range(0, count, rows):
        n = min(rows, count - start)
        z = matrix(workspace[2], 0, n, n_out)
        lazy_logits(X, order, first + start, features, bias, z)
        call(loss, (start, later_layers(n, network, workspace, 0)))
        hidden_cotangents(n, network, workspace, 0, packed)
        cotangent = cotangent_of_layer(sizes, 0, workspace, 0, n)
        lazy_grad_weight(X, order, first + start, cotangent, features, grad)
        grad_bias_block(cotangent, 0, n_out, start > 0, first_bias)
        for k in range(1, sizes.size - 1):
            later_unit_grads(n, sizes, k, 0, sizes[k + 1], workspace, 0, packed, grad, start > 0)
    pins = pins_first and sizes.size == 2
    total = step_features(n_met, n_steps, n_out, pins, strength, rule, features, grad)
    for c in range(0 if fits_bias else n_out):
        first_bias[c] = 0
    if pins:
        first_bias[0] = 0
    descend_part(params, grad, moment, squares, rule, n_in * n_out, n_in * n_out + n_out)
    for k in range(1, sizes.size - 1):
        total += step_units(network, k, 0, sizes[k + 1], steps, sums)
    return total


@routine
def step_units(network, k, first, count, steps, sums):
    # some units of layer k take a step. -> the sum of the squares of their weights before it, which goes into sums, too
    (params, sizes, _), (penalty, grad, moment, squares, rule) = network, steps
    place, n_in, n_out = layer_place(sizes, k)
    total = penalise_units(params, sizes, k, first, first + count, penalty, grad)
    sums[units_before(sizes, k + 1) + first] = total
    start, bias = place + first * n_in, place + n_out * n_in + first
    if count == n_out:  # weights and biases side by side
        descend_part(params, grad, moment, squares, rule, start, bias + count)
    else:
        descend_part(params, grad, moment, squares, rule, start, start + count * n_in)
        descend_part(params, grad, moment, squares, rule, bias, bias + count)
    return total
