"""Gradient and Hessian of cross-entropy as boosters of trees take them."""

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array, real_array
from fastsoftmax._gate.rows import Rows
from fastsoftmax._gate.targets import read_targets, read_weights, split_targets
from fastsoftmax._threads import run


def softmax_grad_hess(
    raw: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array]:
    r"""Gradient and diagonal Hessian of cross-entropy, for a custom multiclass objective of XGBoost or LightGBM.

    :math:`g_{nc} = w_n (M_n p_{nc} - t_{nc})` and :math:`h_{nc} = \max(2 w_n M_n p_{nc} (1 - p_{nc}), 10^{-6})` with
    :math:`M_n = \sum_c t_{nc}`, which is 1 for a label. The 2 makes the diagonal an upper bound of the whole Hessian,
    and the least value keeps a leaf of certain samples from dividing by 0.

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
        In the dtype of raw; integers and bool count as float64.

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        Shapes that do not fit, a label that is not a class, weights that are negative or not finite.

    Notes
    -----
    Source: XGBoost, demo/guide-python/custom_softmax.py. Its own multi:softprob differs in the least value alone, which
    is 1e-16. LightGBM's multiclass has C / (C - 1) for the 2, after Friedman (2001), "Greedy function approximation: a
    gradient boosting machine": for that, multiply hess by C / (2 (C - 1)).

    Examples
    --------
    As the scikit-learn estimators of XGBoost and LightGBM take it, XGBClassifier(objective=objective):

    >>> import fastsoftmax as fs
    >>> def objective(y, raw, sample_weight=None):
    ...     return fs.softmax_grad_hess(raw, y, sample_weight)
    >>> grad, hess = objective([1], [[0.0, 0.0]])
    >>> grad
    array([[ 0.5, -0.5]])
    >>> hess
    array([[0.5, 0.5]])

    As xgboost.train(..., obj=objective) does; weights that are not given are empty there:

    >>> def objective(raw, data):
    ...     weight = data.get_weight()
    ...     return fs.softmax_grad_hess(raw, data.get_label(), weight if weight.size else None)
    """
    rows = Rows(-1, raw=raw)
    if len(rows.shape) != 2:
        raise ValueError(f"raw must have shape (n_samples, n_classes), got {rows.shape}")
    given = read_targets(real_array("targets", targets), rows.shape, rows.compute, None)
    by_row = read_weights("sample_weight", sample_weight, rows.shape[:1], np.float64)
    grad, hess = rows.target(None), rows.target(None)
    targets_by_kind = split_targets(given, rows.shape[1], rows.compute)
    run(kernels.softmax_grad_hess_rows, grad.size, rows.inputs[0], *targets_by_kind, by_row, grad, hess)
    return rows.deliver(grad, None), rows.deliver(hess, None)
