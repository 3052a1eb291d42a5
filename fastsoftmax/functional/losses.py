"""Cross-entropy and squared error on softmax, with their gradients with respect to the logits.

The four functions are one computation, `_evaluate`, for two losses, with the gradient or without it.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._gate.arrays import Array, real_array
from fastsoftmax._gate.rows import Rows
from fastsoftmax._threads import run, run_with_team
from fastsoftmax.functional._loss_targets import read_loss_targets
from fastsoftmax.functional._losses import CROSS_ENTROPY, SQUARED_ERROR, Loss
from fastsoftmax.kernels.jit.entries import LARGE

Reduction = Literal["none", "sum", "mean"]
ZERO = 0.0  # the default label_smoothing, by identity


def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    r"""Cross-entropy of softmax(logits) and the targets, :math:`-\sum_c t_c \log p_c` a row, as torch defines it.

    Parameters
    ----------
    logits : array_like (..., C)
        Classes along the last axis; usually (N, C).
    targets : array_like (...) or (..., C)
        The class of each row, 0 to C - 1, or a distribution over the classes for each row.
    sample_weight : array_like (...), optional
        Weight of each row, at least 0. A row of weight 0 counts as absent.
    class_weight : array_like (C,), optional
        Weight w of each class: :math:`t_c` is multiplied by :math:`w_c`.
    label_smoothing : float in [0, 1], default 0.0
        This much of each target is spread evenly over the classes.
    ignore_index : int, optional
        Rows with this label are left out: loss and gradient 0. Distributions have no label, and take none but a
        negative one, which changes nothing.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by the sum of the weights that took part: for labels, sample weight times the label's
        class weight; for distributions, sample weight alone. It is NaN if no row takes part. "none" gives each row's
        loss.

    Returns
    -------
    scalar or ndarray (...)
        In logits' dtype (float64 for integers); sums are accumulated in float64.

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        A label that is not a class (the first, with its row), weights that are negative or not finite or, with "mean",
        all zero, a shape that does not fit.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> round(float(fs.cross_entropy([[2.0, 0.0], [0.0, 0.0]], [0, 1])), 6)
    0.410038
    """
    return _evaluate(
        CROSS_ENTROPY,
        logits,
        targets,
        sample_weight,
        class_weight,
        label_smoothing,
        ignore_index,
        reduction,
        False,
        None,
    )[0]


def cross_entropy_value_and_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    r"""`cross_entropy` and its gradient with respect to the logits, in one pass over them.

    With softmax the chain rule collapses: :math:`\partial L/\partial z_c = p_c \sum_k t_k - t_c`, which is p - y for a
    one-hot target; no probability is divided by, so it is right even where p is 0.

    Parameters
    ----------
    logits, targets, sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `cross_entropy`
    out : ndarray, optional
        Takes grad_logits; of logits' shape and the result's dtype. May be logits itself.

    Returns
    -------
    loss : scalar or ndarray (...)
        As `cross_entropy`.
    grad_logits : ndarray (..., C)
        Gradient of the loss; with reduction "none", of each row's own loss.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`, before anything is written.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> loss, grad_logits = fs.cross_entropy_value_and_grad([[0.0, 0.0]], [1])
    >>> grad_logits
    array([[ 0.5, -0.5]])
    """
    return _evaluate(
        CROSS_ENTROPY, logits, targets, sample_weight, class_weight, label_smoothing, ignore_index, reduction, True, out
    )


def squared_error(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    r"""Squared error of softmax(logits) and the targets, :math:`\sum_c (p_c - t_c)^2` a row (the Brier score).

    Parameters
    ----------
    logits, targets, sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `cross_entropy`
        But class_weight weighs rows: with the weight of the label, or :math:`\sum_c w_c t_c` for a distribution; "mean"
        divides by the sum of those weights.

    Returns
    -------
    scalar or ndarray (...)
        As `cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Notes
    -----
    Source: Brier (1950), "Verification of forecasts expressed in terms of probability".

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> float(fs.squared_error([[0.0, 0.0]], [1]))
    0.5
    """
    return _evaluate(
        SQUARED_ERROR,
        logits,
        targets,
        sample_weight,
        class_weight,
        label_smoothing,
        ignore_index,
        reduction,
        False,
        None,
    )[0]


def squared_error_value_and_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    r"""`squared_error` and its gradient with respect to the logits, in one pass over them.

    :math:`\partial L/\partial z_j = p_j (g_j - \sum_k g_k p_k)` with :math:`g = 2 (p - t)`: the softmax
    Jacobian does not cancel here.

    Parameters
    ----------
    logits, targets, sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `squared_error`
    out : as in `cross_entropy_value_and_grad`

    Returns
    -------
    loss : scalar or ndarray (...)
        As `squared_error`.
    grad_logits : ndarray (..., C)
        Gradient of the loss; with reduction "none", of each row's own loss.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy_value_and_grad`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> loss, grad_logits = fs.squared_error_value_and_grad([[0.0, 0.0]], [1])
    >>> grad_logits
    array([[ 0.5, -0.5]])
    """
    return _evaluate(
        SQUARED_ERROR, logits, targets, sample_weight, class_weight, label_smoothing, ignore_index, reduction, True, out
    )


def _directly(call: Callable[..., Any], logits: Any, targets: Any, filled: Any) -> Any:
    done = call(logits, targets, filled)
    return run_with_team(call, logits, targets, filled) if done is LARGE else done


def _evaluate(
    loss: Loss,
    logits: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike | None,
    class_weight: ArrayLike | None,
    label_smoothing: float,
    ignore_index: int | None,
    reduction: str,
    with_grad: bool,
    out: Array | None,
) -> tuple[Any, Any]:
    """Check everything, then run the kernel and reduce: (loss, None or grad_logits)."""
    # the direct way refuses every label that is no class: also one that is to be left out, if it is negative
    leaves_none = ignore_index is None or (type(ignore_index) is int and ignore_index < 0)
    plain = sample_weight is None and class_weight is None and label_smoothing is ZERO and leaves_none
    if plain and reduction == "mean":
        done = _directly(loss.direct_with_grad.call if with_grad else loss.direct.call, logits, targets, out)
        if done is not None:
            return done
    elif plain and reduction == "none" and not with_grad and type(logits) is np.ndarray and logits.ndim > 1:
        each = np.empty(logits.shape[:-1], logits.dtype)
        if _directly(loss.direct.call, logits, targets, each) is not None:
            return each, None
    rows = Rows(-1, logits=logits)
    if not rows.shape:
        raise ValueError("logits must have shape (n_samples, n_classes), got ()")
    given = real_array("targets", targets)
    rows.note_input("targets", given)
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    loss_targets = read_loss_targets(loss, given, rows.shape, rows.compute, *options)
    grad = rows.target(out) if with_grad else rows.inputs[0][:0]
    losses = np.empty(rows.n_rows)
    run(loss.rows, rows.inputs[0].size, rows.inputs[0], *loss_targets.for_kernels, losses, grad)
    grad_logits = rows.deliver(grad, out) if with_grad else None
    if reduction == "none":
        return rows.deliver_reduced(losses, keepdims=False), grad_logits
    return loss_targets.reduce(losses, rows.dtype), grad_logits
