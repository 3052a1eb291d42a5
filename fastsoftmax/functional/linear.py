"""A dense layer and a loss on its softmax in one pass over X: the loss, its gradients, and its Hessian times a vector.

Six functions are one computation for two losses: `evaluate` for value and gradient, `hvp` for the Hessian (_layer.py).
"""

from typing import Any

from numpy.typing import ArrayLike

from fastsoftmax.functional._layer import LinearGrads, evaluate, hvp
from fastsoftmax.functional._losses import CROSS_ENTROPY, SQUARED_ERROR
from fastsoftmax.functional.losses import ZERO, Reduction


def linear_cross_entropy(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    r"""Cross-entropy of softmax(X W^T + b) and the targets, :math:`-\sum_c t_c \log p_c` a row, from X in one pass.

    The same number as ``cross_entropy(dense(X, weight, bias), targets, ...)``, but the logits are never held.

    Parameters
    ----------
    X : array_like or scipy.sparse CSR (n_samples, n_features)
        In any layout; what kernels cannot read as it is, is copied a few rows at a time.
    weight : array_like (n_classes, n_features)
        As scikit-learn's coef_ and torch's Linear.weight.
    bias : array_like (n_classes,) or None
    targets : array_like (n_samples,) or (n_samples, n_classes)
        The class of each sample, 0 to n_classes - 1, or a distribution over the classes for each.
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `cross_entropy`

    Returns
    -------
    scalar or ndarray (n_samples,)
        In the widest float dtype of X, weight and bias (integers count as float64); sums are accumulated in float64.

    Raises
    ------
    TypeError
        An argument that does not hold real numbers; a sparse X that is not CSR.
    ValueError
        Shapes that do not fit, a label that is not a class, weights that are negative or not finite.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> X, weight = [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]]
    >>> round(float(fs.linear_cross_entropy(X, weight, None, [0, 1])), 6)
    0.410038
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    return evaluate(CROSS_ENTROPY, X, weight, bias, targets, options)[0]


def linear_cross_entropy_value_and_grad(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    with_grad_X: bool = False,
    out: LinearGrads | None = None,
) -> tuple[Any, LinearGrads]:
    r"""`linear_cross_entropy` and its gradients with respect to weight, bias and, if asked for, X.

    With :math:`G = \partial L/\partial Z`, the gradient of `cross_entropy`: grad_weight is
    :math:`\sum_n G_{nc} X_{nd}`, grad_bias :math:`\sum_n G_{nc}`, grad_X :math:`\sum_c G_{nc} W_{cd}`.

    Parameters
    ----------
    X, weight, bias, targets : as in `linear_cross_entropy`
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `linear_cross_entropy`
    with_grad_X : bool, default False
        Whether the gradient with respect to X (n_samples, n_features) is wanted.
    out : LinearGrads of ndarray or None, optional
        Takes the gradients, so that a loop allocates nothing; of their shapes and dtype. What is None is made.

    Returns
    -------
    loss : scalar or ndarray (n_samples,)
    grads : LinearGrads
        weight (n_classes, n_features); bias (n_classes,), None without a bias; X (n_samples, n_features) or None. With
        reduction "none" they are the gradients of the sum of all losses.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy`, before anything is written; an out that does not fit.

    Notes
    -----
    Memory beyond arguments and results is that of a block of logits and, for each thread, of one more grad_weight where
    that is below 1 MiB; for a CSR matrix, of weight and grad_weight once more.
    Sums over samples go by fixed blocks of rows folded in a fixed order: results are the same bits
    for any number of threads. No BLAS is called.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> X, weight = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]
    >>> loss, grads = fs.linear_cross_entropy_value_and_grad(X, weight, [0.0, 0.0], [0, 1])
    >>> grads.weight
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    return evaluate(CROSS_ENTROPY, X, weight, bias, targets, options, (with_grad_X, out))


def linear_cross_entropy_hvp(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    weight_tangent: ArrayLike,
    bias_tangent: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    probs: ArrayLike | None = None,
    out: LinearGrads | None = None,
) -> LinearGrads:
    r"""H v: the Hessian of `linear_cross_entropy` in (weight, bias) times (weight_tangent, bias_tangent).

    :math:`H v = X^T H_z (X V^T + v_b)`, where :math:`H_z = (\sum_c t_c) J(p)` is the Hessian of one row's loss in its
    logits and J the Jacobian of softmax: :math:`J u = p (u - \sum_k p_k u_k)`. No matrix is built, and X is read once.

    Parameters
    ----------
    X, weight, bias, targets : as in `linear_cross_entropy`
    weight_tangent : array_like (n_classes, n_features)
    bias_tangent : array_like (n_classes,) or None
        None counts as zeros; without a bias there is none.
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `linear_cross_entropy`
        But reduction "none" counts as "sum".
    probs : array_like (n_samples, n_classes), optional
        softmax(dense(X, weight, bias)), where it is at hand: many products at one point then do not compute it anew.
    out : LinearGrads of ndarray or None, optional
        Takes the result.

    Returns
    -------
    LinearGrads
        weight (n_classes, n_features), bias (n_classes,) or None, X None.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy_value_and_grad`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> zeros = [[0.0], [0.0]]
    >>> fs.linear_cross_entropy_hvp([[2.0]], zeros, None, [0], [[1.0], [0.0]], None).weight
    array([[ 1.],
           [-1.]])
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    tangents = (weight_tangent, bias_tangent)
    return hvp(CROSS_ENTROPY, X, weight, bias, targets, tangents, options, probs, out)


def linear_squared_error(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    r"""Squared error of softmax(X W^T + b) and the targets, :math:`\sum_c (p_c - t_c)^2` a row, in one pass over X.

    Parameters
    ----------
    X, weight, bias, targets : as in `linear_cross_entropy`
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `linear_cross_entropy`
        Options mean what they do in `squared_error`.

    Returns
    -------
    scalar or ndarray (n_samples,)
        As `linear_cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> float(fs.linear_squared_error([[1.0]], [[0.0], [0.0]], None, [1]))
    0.5
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    return evaluate(SQUARED_ERROR, X, weight, bias, targets, options)[0]


def linear_squared_error_value_and_grad(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    with_grad_X: bool = False,
    out: LinearGrads | None = None,
) -> tuple[Any, LinearGrads]:
    r"""`linear_squared_error` and its gradients, :math:`G_{nj} = 2 p_j (d_j - \sum_k d_k p_k)`, :math:`d = p - t`.

    Parameters
    ----------
    X, weight, bias, targets : as in `linear_cross_entropy`
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `linear_cross_entropy`
        Options mean what they do in `squared_error`.
    with_grad_X, out : as in `linear_cross_entropy_value_and_grad`

    Returns
    -------
    loss : scalar or ndarray (n_samples,)
        As `linear_squared_error`.
    grads : LinearGrads
        As `linear_cross_entropy_value_and_grad`.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy_value_and_grad`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.linear_squared_error_value_and_grad([[1.0]], [[0.0], [0.0]], None, [1])[1].weight
    array([[ 0.5],
           [-0.5]])
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    return evaluate(SQUARED_ERROR, X, weight, bias, targets, options, (with_grad_X, out))


def linear_squared_error_hvp(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    weight_tangent: ArrayLike,
    bias_tangent: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = ZERO,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    probs: ArrayLike | None = None,
    out: LinearGrads | None = None,
) -> LinearGrads:
    r"""H v: the Hessian of `linear_squared_error` in (weight, bias) times (weight_tangent, bias_tangent).

    With :math:`d = p - t` and :math:`q = J u`, one row's Hessian in its logits maps u to
    :math:`2 q (d - \langle d, p\rangle) + 2 p (q - \langle q, d + p\rangle)`, the derivative of the gradient of
    `squared_error` along u. It may be indefinite.

    Parameters
    ----------
    X, weight, bias, targets, weight_tangent, bias_tangent : as in `linear_cross_entropy_hvp`
    sample_weight, class_weight, label_smoothing, ignore_index, reduction : as in `linear_cross_entropy_hvp`
        Options mean what they do in `squared_error`.
    probs, out : as in `linear_cross_entropy_hvp`

    Returns
    -------
    LinearGrads
        weight (n_classes, n_features), bias (n_classes,) or None, X None.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy_hvp`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> zeros = [[0.0], [0.0]]
    >>> fs.linear_squared_error_hvp([[2.0]], zeros, None, [0], [[1.0], [0.0]], None).weight
    array([[ 1.],
           [-1.]])
    """
    options = (sample_weight, class_weight, label_smoothing, ignore_index, reduction)
    tangents = (weight_tangent, bias_tangent)
    return hvp(SQUARED_ERROR, X, weight, bias, targets, tangents, options, probs, out)
