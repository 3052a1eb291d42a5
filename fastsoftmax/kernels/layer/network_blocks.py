"""A block of rows on its way through a network of dense layers, forward and backward (network.py leads it).

With a_0 = x, layer by layer

    forward    z_k = W_k a_k + b_k,  a_(k+1) = activation(z_k)      the last z are the logits
    backward   dL/dW_k = dL/dz_k a_k^T,  dL/db_k = dL/dz_k,  dL/dz_(k-1) = (W_k^T dL/dz_k) * activation'(z_(k-1))

The rows are order[first : first + count] of X (N, D), or of (data, indices, indptr) of a CSR matrix. All that a block
takes lies in a cache: `gathered`, its rows of a dense X, and `workspace`, the activations of each later layer in turn.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.jit import inlined, inlined_overload, routine
from fastsoftmax.kernels.layer.activations import activate, times_slope
from fastsoftmax.kernels.layer.dense import (
    CHUNK,
    NONE,
    PACKED,
    grad_bias_block,
    grad_weight_block,
    grad_X_block,
    logits_block,
    rows_that_fit,
)
from fastsoftmax.kernels.layer.sparse import csr_rows_grad_weight, csr_rows_logits
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, store_masked
from fastsoftmax.kernels.views import matrix, part


@routine
def network_block_rows(params, sizes):
    # as many rows as a block has: of the tiles, and such that a third of a core's L2 holds the block
    return rows_that_fit(max(1, (sizes[0] + count_units(sizes)[0]) * params.itemsize))


@routine
def network_workspaces(params, sizes, rows):
    # for a block: activations of the layers after the first, in turn; the cotangent on its way; factors of a tile
    units, widest = count_units(sizes)
    packed = np.empty(max(CHUNK, rows) * PACKED, params.dtype)
    return np.empty(rows * units, params.dtype), np.empty(rows * widest, params.dtype), packed


@inlined
def count_units(sizes):
    # of the layers after the first: in all, and in the widest (sizes.sum() and .max() take 0.2 s to compile)
    units, widest = NONE, NONE
    for k in range(1, sizes.size):
        units, widest = units + sizes[k], max(widest, sizes[k])
    return units, widest


@inlined
def forward(X, order, first, count, network, gathered, workspace, rows):
    # the logits of rows order[first : first + count], (count, n_classes), a part of the workspace
    params, sizes, activation = network
    first_layer(X, order, first, count, params, sizes, gathered, workspace)
    return _later_layers(count, params, sizes, activation, workspace, rows)


@routine
def _later_layers(count, params, sizes, activation, workspace, rows):
    n_layers, at, a = sizes.size - 1, sizes[1] * (sizes[0] + 1), 0
    for k in range(1, n_layers):
        n_in, n_out = sizes[k], sizes[k + 1]
        inputs = matrix(workspace, a, count, n_in)
        activate(inputs, activation)
        a += rows * n_in
        weight, bias = matrix(params, at, n_out, n_in), part(params, at + n_out * n_in, n_out)
        logits_block(inputs, NONE, count, weight, bias, NONE, n_out, pointer(matrix(workspace, a, count, n_out)))
        at += n_out * (n_in + 1)
    return matrix(workspace, a, count, sizes[n_layers])


@inlined
def backward(X, order, first, count, network, gathered, workspace, rows, delta, packed, grad, adds):
    # dL/dlogits, which has taken the place of the logits in the workspace -> grad, added to it or put there
    params, sizes, activation = network
    _later_layers_back(count, params, sizes, activation, workspace, rows, delta, packed, grad, adds)
    first_layer_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds)


@routine
def _later_layers_back(count, params, sizes, activation, workspace, rows, delta, packed, grad, adds):
    n_layers = sizes.size - 1
    at, a = params.size, rows * count_units(sizes)[0]
    a -= rows * sizes[n_layers]
    for k in range(n_layers - 1, 0, -1):
        n_in, n_out = sizes[k], sizes[k + 1]
        at -= n_out * (n_in + 1)
        cotangent, inputs = matrix(workspace, a, count, n_out), matrix(workspace, a - rows * n_in, count, n_in)
        grad_weight = matrix(grad, at, n_out, n_in)
        grad_weight_block(cotangent, inputs, NONE, count, NONE, n_out, adds, grad_weight, NONE, packed)
        grad_bias_block(cotangent, NONE, n_out, adds, part(grad, at + n_out * n_in, n_out))
        below = matrix(delta, 0, count, n_in)
        grad_X_block(cotangent, NONE, count, matrix(params, at, n_out, n_in), NONE, below, packed)
        times_slope(below, inputs, activation)
        a -= rows * n_in


# The first layer reads X: a dense one by gathering rows, a CSR matrix where it lies


def first_layer(X, order, first, count, params, sizes, gathered, workspace):
    """Its z (count, n_out), at the beginning of the workspace."""
    layer = _first_layer_csr if isinstance(X, tuple) else _first_layer_dense
    layer(X, order, first, count, params, sizes, gathered, workspace)


def first_layer_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
    """Its gradient from dL/dz, which has taken the place of z."""
    layer = _first_layer_csr_back if isinstance(X, tuple) else _first_layer_dense_back
    layer(X, order, first, count, sizes, gathered, workspace, packed, grad, adds)


@routine
def _first_layer_dense(X, order, first, count, params, sizes, gathered, workspace):
    n_in, n_out = sizes[0], sizes[1]
    take(X, order, first, count, matrix(gathered, 0, count, n_in))
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    logits_block(matrix(gathered, 0, count, n_in), NONE, count, weight, bias, NONE, n_out, pointer(workspace))


@routine
def _first_layer_dense_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
    n_in, n_out = sizes[0], sizes[1]
    cotangent, inputs = matrix(workspace, 0, count, n_out), matrix(gathered, 0, count, n_in)
    grad_weight_block(cotangent, inputs, NONE, count, NONE, n_out, adds, matrix(grad, 0, n_out, n_in), NONE, packed)
    grad_bias_block(cotangent, NONE, n_out, adds, part(grad, n_out * n_in, n_out))


@routine
def _first_layer_csr(X, order, first, count, params, sizes, gathered, workspace):
    n_in, n_out = sizes[0], sizes[1]
    weight, bias = matrix(params, 0, n_out, n_in), part(params, n_out * n_in, n_out)
    csr_rows_logits(X, order, first, weight, bias, matrix(workspace, 0, count, n_out))


@routine
def _first_layer_csr_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
    n_in, n_out = sizes[0], sizes[1]
    cotangent = matrix(workspace, 0, count, n_out)
    csr_rows_grad_weight(X, order, first, cotangent, adds, matrix(grad, 0, n_out, n_in))
    grad_bias_block(cotangent, NONE, n_out, adds, part(grad, n_out * n_in, n_out))


@inlined_overload(first_layer)
def _first_layer_jitted(X, order, first, count, params, sizes, gathered, workspace):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, params, sizes, gathered, workspace):
            _first_layer_csr(X, order, first, count, params, sizes, gathered, workspace)

        return csr

    def dense(X, order, first, count, params, sizes, gathered, workspace):
        _first_layer_dense(X, order, first, count, params, sizes, gathered, workspace)

    return dense


@inlined_overload(first_layer_back)
def _first_layer_back_jitted(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
    if isinstance(X, types.BaseTuple):

        def csr(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
            _first_layer_csr_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds)

        return csr

    def dense(X, order, first, count, sizes, gathered, workspace, packed, grad, adds):
        _first_layer_dense_back(X, order, first, count, sizes, gathered, workspace, packed, grad, adds)

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
