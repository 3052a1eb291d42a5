"""Gradient and Hessian of cross-entropy as boosters of trees take them."""

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._arrays import Array, Rows, read_targets, read_weights, real_array
from fastsoftmax._parallel import run


def softmax_grad_hess(
    raw: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array]:
    r"""Gradient and diagonal Hessian of cross-entropy, for a custom multiclass objective of XGBoost or LightGBM.

    :math:`g_{nc} = w_n (p_{nc} - t_{nc})` and :math:`h_{nc} = \max(2 w_n p_{nc} (1 - p_{nc}), 10^{-6})`, as XGBoost's
    own multi:softprob: the 2 makes the diagonal an upper bound of the whole Hessian (Friedman 2001 has C / (C - 1),
    which is 2 for two classes), and the least value keeps a leaf of certain samples from dividing by 0.

    Parameters
    ----------
    raw : array_like (n_samples, n_classes)
        Raw predictions, the sums of the trees: logits.
    targets : array_like (n_samples,) or (n_samples, n_classes)
        The class of each sample, 0 to n_classes - 1 (floats, too, as XGBoost's labels are), or a distribution.
    sample_weight : array_like (n_samples,), optional

    Returns
    -------
    grad, hess : ndarray (n_samples, n_classes)
        In the dtype of raw (integers count as float64). Of a distribution that does not sum to 1, but to M, grad is
        w (M p - t).

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        Shapes that do not fit, a label that is not a class, weights that are negative or not finite.

    Examples
    --------
    With LightGBM's and XGBoost's scikit-learn estimators, ``objective=lambda y, raw: softmax_grad_hess(raw, y)``.

    >>> import fastsoftmax as fs
    >>> grad, hess = fs.softmax_grad_hess([[0.0, 0.0]], [1])
    >>> grad
    array([[ 0.5, -0.5]])
    >>> hess
    array([[0.5, 0.5]])
    """
    rows = Rows(-1, raw=raw)
    if len(rows.shape) != 2:
        raise ValueError(f"raw must have shape (n_samples, n_classes), got {rows.shape}")
    answers = read_targets(real_array("targets", targets), rows.shape, rows.compute, None)
    by_row = read_weights("sample_weight", sample_weight, rows.shape[:1], np.float64)
    grad, hess = rows.target(None), rows.target(None)
    run(kernels.softmax_grad_hess_rows, grad.size, rows.inputs[0], answers, by_row, grad, hess)
    return rows.deliver(grad, None), rows.deliver(hess, None)
