"""A block of rows on its way through a network of dense layers, forward and backward (network.py, epoch.py lead it).

With a_0 = x, layer by layer

    forward    z_k = W_k a_k + b_k,  a_(k+1) = activation(z_k)      the last z are the logits
    backward   dL/dW_k = dL/dz_k a_k^T,  dL/db_k = dL/dz_k,  dL/dz_(k-1) = (W_k^T dL/dz_k) * activation'(z_(k-1))

The rows are order[first : first + count] of X (N, D), or of (data, indices, indptr) of a CSR matrix. What they leave on
their way lies in a workspace = (capacity, gathered, values) for `capacity` rows, from its row `at` on: `gathered` has
the rows of a dense X, `values` the activations of each later layer in turn, the last of them the logits, whose place
dL/dlogits takes; then dL/dz of each hidden layer in turn.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.jit import inlined, inlined_overload, routine
from fastsoftmax.kernels.layer.activations import activate, times_slope
from fastsoftmax.kernels.layer.dense import (
    CHUNK,
    PACKED,
    PANEL,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
    rows_that_fit,
)
from fastsoftmax.kernels.layer.sparse import csr_rows_grad_weight, csr_rows_logits
from fastsoftmax.kernels.simd import lanes, load_masked, misaligned, pointer, store_masked
from fastsoftmax.kernels.views import matrix, part

UNITS = 28  # of a layer in a piece at the most: two tiles of AVX-512's, ten of AVX2's
SMALL_LAYER = 8192  # weights: below, a layer is one piece


@routine
def network_block_rows(params, sizes):
    # as many rows as a block has: of the tiles, and such that a third of a core's L2 holds the block
    return rows_that_fit(max(1, (sizes[0] + units_before(sizes, sizes.size)) * params.itemsize))


@routine(counts_references=True)
def new_workspace(gathers, params, sizes, capacity):
    # gathers: 1 for a dense X, else 0. -> the array that owns the memory, and the workspace, whose two parts begin at
    # multiples of 64 bytes: a network of 64 hidden units else takes up to a tenth longer
    width, n_gathered, units = lanes(params), capacity * sizes[0] * gathers, units_before(sizes, sizes.size)
    n_gathered, n_values = n_gathered + -n_gathered % width, capacity * (2 * units - sizes[sizes.size - 1])
    space = np.empty(width + n_gathered + n_values, params.dtype)
    start = -misaligned(pointer(space), 0) % width
    return space, (capacity, part(space, start, n_gathered), part(space, start + n_gathered, n_values))


@inlined(counts_references=True)
def new_packed(params, rows):
    # for the factors of a tile of a block's rows, and what of the rows it takes
    return np.empty(max(CHUNK, rows) * (PACKED + PANEL), params.dtype)


@inlined
def units_before(sizes, k):
    # of the layers after the first and before layer k (sizes.sum() takes 0.2 s to compile)
    units = 0
    for j in range(1, k):
        units += sizes[j]
    return units


@inlined(counts_references=True)
def forward(X, order, first, count, network, workspace, at):
    # the logits of rows order[first : first + count], (count, n_classes), where they lie in the workspace
    first_layer(X, order, first, count, network, workspace, at)
    return later_layers(count, network, workspace, at)


@inlined(counts_references=True)
def later_layers(count, network, workspace, at):
    # the logits, from what the first layer has left
    if network[1].size > 2:
        _later_layers(count, network, workspace, at)
    return cotangent_of_layer(network[1], network[1].size - 2, workspace, at, count)


@routine(deferred=True)
def _later_layers(count, network, workspace, at):
    (params, sizes, activation), (capacity, _, values) = network, workspace
    n_layers, place, a = sizes.size - 1, sizes[1] * (sizes[0] + 1), 0
    for k in range(1, n_layers):
        n_in, n_out = sizes[k], sizes[k + 1]
        inputs = matrix(values, a + at * n_in, count, n_in)
        activate(inputs, activation)
        a += capacity * n_in
        weight, bias = matrix(params, place, n_out, n_in), part(params, place + n_out * n_in, n_out)
        z = matrix(values, a + at * n_out, count, n_out)
        logits_block(inputs, 0, count, weight, bias, 0, n_out, pointer(z))
        place += n_out * (n_in + 1)


@inlined
def backward(X, order, first, count, network, workspace, at, packed, grad, adds):
    # dL/dlogits, which has taken the place of the logits -> grad, added to it or put there
    _, sizes, _ = network
    hidden_cotangents(count, network, workspace, at, packed)
    for k in range(sizes.size - 1):
        unit_grads(X, order, first, count, sizes, k, 0, sizes[k + 1], workspace, at, packed, grad, adds)


@inlined
def hidden_cotangents(count, network, workspace, at, packed):
    # dL/dlogits -> dL/dz of the hidden layers
    if network[1].size > 2:
        _hidden_cotangents(count, network, workspace, at, packed)


@routine(deferred=True)
def _hidden_cotangents(count, network, workspace, at, packed):
    params, sizes, activation = network
    place = params.size
    for k in range(sizes.size - 2, 0, -1):
        n_in, n_out = sizes[k], sizes[k + 1]
        place -= n_out * (n_in + 1)
        below, inputs = cotangent_of_layer(sizes, k - 1, workspace, at, count), _inputs(sizes, k, workspace, at, count)
        weight = matrix(params, place, n_out, n_in)
        grad_X_block(cotangent_of_layer(sizes, k, workspace, at, count), 0, count, weight, 0, below, packed)
        times_slope(below, inputs, activation)


@inlined(counts_references=True)
def _inputs(sizes, k, workspace, at, count):
    # the activations that layer k, not the first, is given
    capacity, _, values = workspace
    return matrix(values, capacity * units_before(sizes, k) + at * sizes[k], count, sizes[k])


@inlined(counts_references=True)
def cotangent_of_layer(sizes, k, workspace, at, count):
    # dL/dz of layer k
    capacity, _, values = workspace
    place = units_before(sizes, k + 1) + (units_before(sizes, sizes.size) if k < sizes.size - 2 else 0)
    return matrix(values, capacity * place + at * sizes[k + 1], count, sizes[k + 1])


@inlined
def unit_grads(X, order, first, count, sizes, k, unit, n_units, workspace, at, packed, grad, adds):
    # the gradient in the weights and biases of some units of layer k
    if k == 0:
        first_unit_grads(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds)
    else:
        later_unit_grads(count, sizes, k, unit, n_units, workspace, at, packed, grad, adds)


@routine(deferred=True)
def later_unit_grads(count, sizes, k, unit, n_units, workspace, at, packed, grad, adds):
    (place, n_in, n_out), cotangent = layer_place(sizes, k), cotangent_of_layer(sizes, k, workspace, at, count)
    inputs, target = _inputs(sizes, k, workspace, at, count), matrix(grad, place, n_out, n_in)
    grad_weight_block(cotangent, inputs, 0, count, unit, n_units, adds, target, 0, packed)
    grad_bias_block(cotangent, unit, n_units, adds, part(grad, place + n_out * n_in, n_out))


@inlined
def pieces_of_layer(sizes, k):
    # of how many pieces layer k is made, each of some of its units, which threads share: the same on every CPU
    return 1 if sizes[k] * sizes[k + 1] < SMALL_LAYER else -(-sizes[k + 1] // UNITS)


@inlined
def layer_place(sizes, k):
    # where the parameters of layer k begin, and how many it takes and gives
    place = 0
    for j in range(k):
        place += sizes[j + 1] * (sizes[j] + 1)
    return place, sizes[k], sizes[k + 1]


# The first layer reads X: a dense one by gathering rows, a CSR matrix where it lies


def first_layer(X, order, first, count, network, workspace, at):
    """Its z (count, n_out), where they lie in the workspace."""
    layer = _first_layer_csr if isinstance(X, tuple) else _first_layer_dense
    layer(X, order, first, count, network, workspace, at)


def first_unit_grads(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
    """The gradient of some of its units, from dL/dz."""
    layer = _first_unit_grads_csr if isinstance(X, tuple) else _first_unit_grads_dense
    layer(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds)


@routine
def _first_layer_dense(X, order, first, count, network, workspace, at):
    (params, sizes, _), (_, gathered, values) = network, workspace
    n_in, n_out = sizes[0], sizes[1]
    inputs = matrix(gathered, at * n_in, count, n_in)
    take(X, order, first, count, inputs)
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    z = matrix(values, at * n_out, count, n_out)
    logits_block(inputs, 0, count, weight, bias, 0, n_out, pointer(z))


@routine
def _first_unit_grads_dense(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
    n_in, n_out, cotangent = sizes[0], sizes[1], cotangent_of_layer(sizes, 0, workspace, at, count)
    inputs, target = matrix(workspace[1], at * n_in, count, n_in), matrix(grad, 0, n_out, n_in)
    grad_weight_block(cotangent, inputs, 0, count, unit, n_units, adds, target, 0, packed)
    grad_bias_block(cotangent, unit, n_units, adds, part(grad, n_out * n_in, n_out))


@routine
def _first_layer_csr(X, order, first, count, network, workspace, at):
    params, sizes, _ = network
    n_in, n_out = sizes[0], sizes[1]
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    csr_rows_logits(X, order, first, weight, bias, matrix(workspace[2], at * n_out, count, n_out))


@routine
def _first_unit_grads_csr(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
    n_in, n_out, cotangent = sizes[0], sizes[1], cotangent_of_layer(sizes, 0, workspace, at, count)
    csr_rows_grad_weight(X, order, first, cotangent, unit, n_units, adds, matrix(grad, 0, n_out, n_in))
    grad_bias_block(cotangent, unit, n_units, adds, part(grad, n_out * n_in, n_out))


@inlined_overload(first_layer)
def _first_layer_jitted(X, order, first, count, network, workspace, at):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, network, workspace, at):
            _first_layer_csr(X, order, first, count, network, workspace, at)

        return csr

    def dense(X, order, first, count, network, workspace, at):
        _first_layer_dense(X, order, first, count, network, workspace, at)

    return dense


@inlined_overload(first_unit_grads)
def _first_unit_grads_jitted(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
            _first_unit_grads_csr(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds)

        return csr

    def dense(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds):
        _first_unit_grads_dense(X, order, first, count, sizes, unit, n_units, workspace, at, packed, grad, adds)

    return dense


def is_dense(X):
    """1 for a matrix, 0 for the arrays of a CSR matrix."""
    return 0 if isinstance(X, tuple) else 1


@inlined_overload(is_dense)
def _is_dense_jitted(X):
    return (lambda X: 0) if isinstance(X, types.BaseTuple) else (lambda X: 1)


@routine
def take(source, order, first, count, out):
    # row i of out is row order[first + i] of the source (N, D), i < count
    width, x, y = source.shape[1], pointer(source), pointer(out)
    for i in range(count):
        start = order[first + i] * width
        for j in range(0, width, lanes(source)):
            some = min(lanes(source), width - j)
            store_masked(load_masked(x, start + j, some, 0), y, i * width + j, some)
