"""dense -> softmax -> loss -> gradients in one pass over X, and the product of the loss's Hessian with a vector.

Shapes: X (N, D) or the (data, indices, indptr) of a CSR matrix, weight (C, D), bias (C,), targets and weights as in
rows/losses.py. passes.py leads the way; here is what is put in the place of the logits of a block of rows.
"""

from fastsoftmax.kernels.closures import bind, keep
from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.layer.dense import copy_to
from fastsoftmax.kernels.layer.losses import hvp_of_block, loss_of_block
from fastsoftmax.kernels.layer.passes import logits_of_rows, pass_over_rows
from fastsoftmax.kernels.rows.softmax import softmax_rows
from fastsoftmax.kernels.views import matrix


@kernel
def linear_loss_rows(
    loss, X, weight, bias, labels, distribution, sample_weight, class_weight, smoothing, scale, losses, grad_weight,
    grad_bias, grad_X, team,
):  # fmt: skip
    # losses (N,) as the loss, a number of losses.py, gives them for the logits X W^T + b, and the gradients of scale *
    # their sum
    targets = (loss, labels, distribution, sample_weight, class_weight, smoothing, scale, losses)
    _pass(team, X, (1, weight, bias, weight, bias), _loss, targets, weight, (grad_weight, grad_bias, grad_X))


@kernel
def linear_loss_hvp_rows(
    loss, X, weight, bias, weight_tangent, bias_tangent, labels, distribution, sample_weight, class_weight, smoothing,
    scale, probs, hvp_weight, hvp_bias, team,
):  # fmt: skip
    # H v for scale * the sum of the losses: X^T H_z (X V^T + v_b), with H_z, (C, C) for each row, as in hessians.py.
    # probs (N, C), or empty: then they are computed in the same pass. H v is added to hvp_weight and hvp_bias
    targets = (loss, labels, distribution, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    _pass(team, X, products, _loss_hvp, targets, weight, (hvp_weight, hvp_bias, hvp_weight[:0]))


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
def _loss(first, z, second, loss, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    loss_of_block(first, z, loss, labels, distribution, sample_weight, class_weight, smoothing, scale, losses)


@inlined
def _loss_hvp(first, z, second, loss, labels, distribution, sample_weight, class_weight, smoothing, scale, probs):
    p = _probs(first, second, probs, len(z))
    hvp_of_block(first, z, p, loss, labels, distribution, sample_weight, class_weight, smoothing, scale)


@inlined
def _cotangent(first, z, second, cotangent):
    copy_to(z, cotangent, first * z.shape[1])


@inlined(counts_references=True)
def _probs(first, logits, probs, count):
    if probs.size:
        return matrix(probs, first * probs.shape[1], count, probs.shape[1])
    softmax_rows(logits, None, logits, 0)
    return matrix(logits, 0, logits.shape[0], logits.shape[1])
