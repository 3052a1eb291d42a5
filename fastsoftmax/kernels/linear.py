"""dense -> softmax -> loss -> gradients in one pass over X, and the product of the loss's Hessian with a vector.

Shapes: X (N, D) or the (data, indices, indptr) of a CSR matrix, weight (C, D), bias (C,), targets and weights as in
losses.py. passes.py leads the way; here is what each loss does on it.
"""

from fastsoftmax.kernels._jit import kernel, step
from fastsoftmax.kernels._views import matrix, part
from fastsoftmax.kernels.dense import copy_to
from fastsoftmax.kernels.hessians import cross_entropy_hvp_rows, squared_error_hvp_rows
from fastsoftmax.kernels.losses import cross_entropy_rows, rows_of, squared_error_rows, weights_of
from fastsoftmax.kernels.passes import logits_of_rows, pass_over_rows, work_groups, work_rows
from fastsoftmax.kernels.softmax import softmax_rows


@kernel
def linear_cross_entropy_rows(
    X,
    weight,
    bias,
    targets,
    sample_weight,
    class_weight,
    smoothing,
    scale,
    losses,
    grad_weight,
    grad_bias,
    grad_X,
    team=0,
):
    # losses (N,) as cross_entropy_rows gives them for the logits X W^T + b, and the gradients of scale * their sum
    arguments = (targets, sample_weight, class_weight, smoothing, scale, losses)
    products = (1, weight, bias, weight, bias)
    pass_over_rows(
        team,
        X,
        products,
        _cross_entropy_groups,
        _cross_entropy_pieces,
        arguments,
        weight,
        grad_weight,
        grad_bias,
        grad_X,
    )


@kernel
def linear_squared_error_rows(
    X,
    weight,
    bias,
    targets,
    sample_weight,
    class_weight,
    smoothing,
    scale,
    losses,
    grad_weight,
    grad_bias,
    grad_X,
    team=0,
):
    # the same for squared_error_rows
    arguments = (targets, sample_weight, class_weight, smoothing, scale, losses)
    products = (1, weight, bias, weight, bias)
    pass_over_rows(
        team,
        X,
        products,
        _squared_error_groups,
        _squared_error_pieces,
        arguments,
        weight,
        grad_weight,
        grad_bias,
        grad_X,
    )


@kernel
def linear_cross_entropy_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, targets, sample_weight, class_weight, smoothing, scale, probs,
    hvp_weight, hvp_bias, team=0,
):  # fmt: skip
    # H v for scale * the sum of the losses: X^T H_z (X V^T + v_b), with H_z, (C, C) for each row, as in losses.py.
    # probs (N, C), or empty: then they are computed in the same pass. H v is added to hvp_weight and hvp_bias
    arguments = (targets, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    none = hvp_weight[:0]
    pass_over_rows(
        team,
        X,
        products,
        _cross_entropy_hvp_groups,
        _cross_entropy_hvp_pieces,
        arguments,
        weight,
        hvp_weight,
        hvp_bias,
        none,
    )


@kernel
def linear_squared_error_hvp_rows(
    X, weight, bias, weight_tangent, bias_tangent, targets, sample_weight, class_weight, smoothing, scale, probs,
    hvp_weight, hvp_bias, team=0,
):  # fmt: skip
    # the same for squared error
    arguments = (targets, sample_weight, class_weight, smoothing, scale, probs)
    products = (2 if probs.size == 0 else 1, weight_tangent, bias_tangent, weight, bias)
    none = hvp_weight[:0]
    pass_over_rows(
        team,
        X,
        products,
        _squared_error_hvp_groups,
        _squared_error_hvp_pieces,
        arguments,
        weight,
        hvp_weight,
        hvp_bias,
        none,
    )


@kernel
def dense_rows(X, weight, bias, out, team=0):
    # z_nc = sum_d X_nd W_cd + b_c, into out (N, C)
    logits_of_rows(team, X, weight, bias, out)


@kernel
def dense_vjp_rows(X, weight, cotangent, grad_weight, grad_bias, grad_X, team=0):
    # the gradients of a loss whose dL/dlogits is the cotangent (N, C)
    products = (0, weight, grad_bias, weight, grad_bias)
    pass_over_rows(
        team, X, products, _cotangent_groups, _cotangent_pieces, (cotangent,), weight, grad_weight, grad_bias, grad_X
    )


# What each puts in the place of z, the logits of a block of rows from row `first` on: dL/dlogits


@step
def _cross_entropy_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, losses):
    some, by_row = rows_of(targets, first, len(z)), weights_of(sample_weight, first, len(z))
    cross_entropy_rows(z, some, by_row, class_weight, smoothing, scale, part(losses, first, len(z)), z)


@step
def _squared_error_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, losses):
    some, by_row = rows_of(targets, first, len(z)), weights_of(sample_weight, first, len(z))
    squared_error_rows(z, some, by_row, class_weight, smoothing, scale, part(losses, first, len(z)), z)


@step
def _cross_entropy_hvp_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, probs):
    some, by_row = rows_of(targets, first, len(z)), weights_of(sample_weight, first, len(z))
    p = _probs_at(first, second, probs, len(z))
    cross_entropy_hvp_rows(p, z, some, by_row, class_weight, smoothing, scale, z)


@step
def _squared_error_hvp_at(first, z, second, targets, sample_weight, class_weight, smoothing, scale, probs):
    some, by_row = rows_of(targets, first, len(z)), weights_of(sample_weight, first, len(z))
    p = _probs_at(first, second, probs, len(z))
    squared_error_hvp_rows(p, z, some, by_row, class_weight, smoothing, scale, z)


@step
def _cotangent_at(first, z, second, cotangent):
    copy_to(z, cotangent, first * z.shape[1])


@step
def _probs_at(first, logits, probs, count):
    if probs.size:
        return matrix(probs, first * probs.shape[1], count, probs.shape[1])
    softmax_rows(logits, None, None, logits)
    return matrix(logits, 0, logits.shape[0], logits.shape[1])


# Their spans, for both ways (a function that is handed on inside a tuple would not be kept on disk)


@step
def _cross_entropy_groups(first, last, arguments, more):
    work_groups(first, last, _cross_entropy_at, arguments, more)


@step
def _cross_entropy_pieces(first, last, arguments, more):
    work_rows(first, last, _cross_entropy_at, arguments, more)


@step
def _squared_error_groups(first, last, arguments, more):
    work_groups(first, last, _squared_error_at, arguments, more)


@step
def _squared_error_pieces(first, last, arguments, more):
    work_rows(first, last, _squared_error_at, arguments, more)


@step
def _cross_entropy_hvp_groups(first, last, arguments, more):
    work_groups(first, last, _cross_entropy_hvp_at, arguments, more)


@step
def _cross_entropy_hvp_pieces(first, last, arguments, more):
    work_rows(first, last, _cross_entropy_hvp_at, arguments, more)


@step
def _squared_error_hvp_groups(first, last, arguments, more):
    work_groups(first, last, _squared_error_hvp_at, arguments, more)


@step
def _squared_error_hvp_pieces(first, last, arguments, more):
    work_rows(first, last, _squared_error_hvp_at, arguments, more)


@step
def _cotangent_groups(first, last, arguments, more):
    work_groups(first, last, _cotangent_at, arguments, more)


@step
def _cotangent_pieces(first, last, arguments, more):
    work_rows(first, last, _cotangent_at, arguments, more)
