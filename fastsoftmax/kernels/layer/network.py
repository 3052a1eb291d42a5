"""A network of dense layers with softmax and a loss on top: loss and gradients of many rows.

sizes (K + 1,) int64 are n_features, the units of each hidden layer, n_classes. params (P,) holds the layers one after
another: weight (n_out, n_in), then bias (n_out,); grad (P,) likewise. X (N, D), or (data, indices, indptr) of a CSR
matrix, is read by `order` (N,): its rows in the order in which they are taken, block by block (network_blocks.py).
Targets and weights as in rows/losses.py; where rows are summed, they, and the losses, come in the order of the rows
taken. What a loss does to a block of logits is a closure (closures.py) of (first row, z).
"""

import numpy as np

from fastsoftmax.kernels.board import await_ticket, pass_ticket, team_size
from fastsoftmax.kernels.closures import bind, call, keep
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.layer.dense import add_to
from fastsoftmax.kernels.layer.losses import loss_of_block
from fastsoftmax.kernels.layer.network_blocks import (
    backward,
    forward,
    is_dense,
    layer_place,
    network_block_rows,
    new_packed,
    new_workspace,
)
from fastsoftmax.kernels.layer.passes import GROUP
from fastsoftmax.kernels.rows.vecmath import dot_row, each_vector
from fastsoftmax.kernels.simd import fma, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import share_each
from fastsoftmax.kernels.views import matrix, on_huge_pages, part


@kernel(counts_references=True)
def network_loss_rows(
    loss, X, labels, distribution, sample_weight, class_weight, smoothing, scale, params, sizes, activation, order,
    losses, grad, team,
):  # fmt: skip
    # losses (N,) as the loss, a number of losses.py, gives them for the logits of the network (in the order `order`),
    # and the gradient of scale * their sum, added to grad; an empty grad is not wanted
    targets = (loss, labels, distribution, sample_weight, class_weight, smoothing, np.full(1, scale), losses)
    _rows(team, X, order, bind(batch_loss, targets, (0, matrix(grad, 0, 0, 0))), params, sizes, activation, grad)
    keep(targets)


@inlined
def batch_loss(first, z, loss, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    # loss_of_block with a scale that is another in each batch, so that it is bound as an array of one number
    loss_of_block(first, z, loss, labels, distribution, sample_weight, class_weight, smoothing, scale[0], losses)


# Reduction groups of rows, dealt out to threads; a group's gradient is added when it is its turn


@inlined(counts_references=True)
def _rows(team, X, order, loss, params, sizes, activation, grad):
    ticket, sums = np.zeros(1, np.int64), on_huge_pages(np.empty(grad.size * team_size(team), grad.dtype))
    arguments = (team, ticket, sums, X, order, loss, params, sizes, activation, grad)
    share_each(team, -(-order.size // GROUP), _groups, arguments)


@routine(counts_references=True)
def _groups(first, last, team, ticket, sums, X, order, loss, params, sizes, activation, grad):
    network, rows = (params, sizes, activation), network_block_rows(params, sizes)
    space, workspace = new_workspace(is_dense(X), params, sizes, rows)
    packed = new_packed(params, rows)
    for group in range(first, last):
        mine = part(sums, group % team_size(team) * grad.size, grad.size)
        end = min(order.size, (group + 1) * GROUP)
        for start in range(group * GROUP, end, rows):
            n = min(rows, end - start)
            call(loss, (start, forward(X, order, start, n, network, workspace, 0)))
            if grad.size:
                backward(X, order, start, n, network, workspace, 0, packed, mine, start > group * GROUP)
        if not await_ticket(team, np.int64(ticket.ctypes.data), group):
            break
        if grad.size:
            add_to(grad, mine)
        pass_ticket(team, np.int64(ticket.ctypes.data), group + 1)
    keep(space)


@kernel
def penalise(params, sizes, penalty, grad):
    # penalty = (strength, pins_first_class, fits_bias): grad of strength / 2 sum_k |W_k|^2 is added to grad, whose
    # entries for what stays as it is (the first class of two, biases) become 0. -> the penalty
    squares = 0.0
    for k in range(sizes.size - 1):
        squares += penalise_units(params, sizes, k, 0, sizes[k + 1], penalty, grad)
    return 0.5 * penalty[0] * squares


@routine
def penalise_units(params, sizes, k, first, last, penalty, grad):
    # the same for units first .. last of layer k. -> the sum of the squares of their weights, if there is a penalty
    (strength, pins_first_class, fits_bias), (place, n_in, n_out) = penalty, layer_place(sizes, k)
    squares, start, end, bias = 0.0, place + first * n_in, place + last * n_in, place + n_out * n_in
    if strength != 0.0:
        squares = dot_row(pointer(params), start, pointer(params), start, end - start)
        add_scaled(params, start, end, strength, grad)
    if not fits_bias:
        grad[bias + first : bias + last] = 0
    if pins_first_class and k == sizes.size - 2 and first == 0:
        grad[place : place + n_in] = 0
        grad[bias] = 0
    return squares


@inlined
def add_scaled(params, first, last, factor, grad):
    # grad_j += factor params_j, first <= j < last
    each_vector(params, first, last, _add_multiple, (pointer(params), splat(params, factor), pointer(grad)))


@inlined
def _add_multiple(j, some, params, factor, grad):
    store_masked(fma(load_masked(params, j, some, 0), factor, load_masked(grad, j, some, 0)), grad, j, some)
