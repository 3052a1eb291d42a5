"""dense -> softmax -> loss -> gradients in one pass over X, and the product of the loss's Hessian with a vector.

Shapes: X (N, D) or the (data, indices, indptr) of a CSR matrix, weight (C, D), bias (C,), targets and weights as in
rows/losses.py. passes.py leads the way; here is what each loss puts in the place of the logits of a block of rows.
"""

from fastsoftmax.kernels.closures import bind, keep
from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.layer.dense import copy_to
from fastsoftmax.kernels.layer.passes import logits_of_rows, pass_over_rows
from fastsoftmax.kernels.rows.hessians import cross_entropy_hvp_rows, squared_error_hvp_rows
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.softmax import softmax_rows
from fastsoftmax.kernels.rows.targets import targets_of_rows, weights_of
from fastsoftmax.kernels.views import matrix, part


@kernel
def linear_cross_entropy_rows(
    X, weight, bias, labels, distribution, sample_weight, class_weight, smoothing, scale, losses, grad_weight,
    grad_bias, grad_X, team,
):  # fmt: skip
    # losses (N,) as cross_entropy_rows gives them for the logits X W^T + b, and the gradients of scale * their sum
    targets = (labels, distribution, sample_weight, class_weight, smoothing, scale, losses)
    _pass(team, X, (1, weight, bias, weight, bias), _cross_entropy, targets, weight, (grad_weight, grad_bias, grad_X))


@kernel
def linear_squared_error_rows(
    X, weight, bias, labels, distribution, sample_weight, class_weight, smoothing, scale, losses, grad_weight,
    grad_bias, grad_X, team,
):  # fmt: skip
    # the same for squared_error_rows
    targets = (labels, distribution, sample_weight, class_weight, smoothing, scale, losses)
    _pass(team, X, (1, weight, bias, weight, bias), _squared_error, targets, weight, (grad_weight, grad_bias, grad_X))


@kernel
def linear_cross_entropy_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, labels, distribution, sample_weight, class_weight, smoothing, scale,
    probs, hvp_weight, hvp_bias, team,
):  # fmt: skip
    # H v for scale * the sum of the losses: X^T H_z (X V^T + v_b), with H_z, (C, C) for each row, as in hessians.py.
    # probs (N, C), or empty: then they are computed in the same pass. H v is added to hvp_weight and hvp_bias
    targets = (labels, distribution, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    _pass(team, X, products, _cross_entropy_hvp, targets, weight, (hvp_weight, hvp_bias, hvp_weight[:0]))


@kernel
def linear_squared_error_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, labels, distribution, sample_weight, class_weight, smoothing, scale,
    probs, hvp_weight, hvp_bias, team,
):  # fmt: skip
    # the same for squared error
    targets = (labels, distribution, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    _pass(team, X, products, _squared_error_hvp, targets, weight, (hvp_weight, hvp_bias, hvp_weight[:0]))


@kernel
def dense_rows(X, weight, bias, out, team):
    # z_nc = sum_d X_nd W_cd + b_c, into out (N, C)
    logits_of_rows(team, X, weight, bias, out)


@kernel
def dense_vjp_rows(X, weight, cotangent, grad_weight, grad_bias, grad_X, team):
    # the gradients of a loss whose dL/dlogits is the cotangent (N, C)
    products = (0, weight, grad_bias, weight, grad_bias)
    _pass(team, X, products, _cotangent, (cotangent,), weight, (grad_weight, grad_bias, grad_X))


@inlined
def _pass(team, X, products, work, arguments, weight, sums):
    like = matrix(sums[0], 0, 0, 0)
    pass_over_rows(team, X, products, bind(work, arguments, (0, like, like)), weight, sums)
    keep(arguments)


# What each puts in the place of z, the logits of a block of rows from row `first` on: dL/dlogits. Of two products,
# `second` are the logits


@inlined
def _cross_entropy(first, z, second, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights, out = weights_of(sample_weight, first, len(z)), part(losses, first, len(z))
    cross_entropy_rows(z, some, soft, weights, class_weight, smoothing, scale, out, z, 0)


@inlined
def _squared_error(first, z, second, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights, out = weights_of(sample_weight, first, len(z)), part(losses, first, len(z))
    squared_error_rows(z, some, soft, weights, class_weight, smoothing, scale, out, z, 0)


@inlined
def _cross_entropy_hvp(first, z, second, labels, distribution, sample_weight, class_weight, smoothing, scale, probs):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    p, weights = _probs(first, second, probs, len(z)), weights_of(sample_weight, first, len(z))
    cross_entropy_hvp_rows(p, z, some, soft, weights, class_weight, smoothing, scale, z)


@inlined
def _squared_error_hvp(first, z, second, labels, distribution, sample_weight, class_weight, smoothing, scale, probs):
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    p, weights = _probs(first, second, probs, len(z)), weights_of(sample_weight, first, len(z))
    squared_error_hvp_rows(p, z, some, soft, weights, class_weight, smoothing, scale, z)


@inlined
def _cotangent(first, z, second, cotangent):
    copy_to(z, cotangent, first * z.shape[1])


@inlined(counts_references=True)
def _probs(first, logits, probs, count):
    if probs.size:
        return matrix(probs, first * probs.shape[1], count, probs.shape[1])
    softmax_rows(logits, None, logits, 0)
    return matrix(logits, 0, logits.shape[0], logits.shape[1])
