"""Probabilities that mean what they say: the temperature of a classifier's logits."""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._gate.arrays import QUIET, real_array, result_dtypes
from fastsoftmax.functional.losses import cross_entropy_value_and_grad

REACH = 30.0  # the temperature is looked for from exp(-REACH) to exp(REACH), times the scale of the logits


def fit_temperature(logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    r"""The temperature T that makes softmax(logits / T) as likely as can be (Guo et al. 2017, temperature scaling).

    The mean cross-entropy is convex in :math:`\beta = 1/T`, with the derivative
    :math:`\sum_n w_n \langle p_n - t_n, z_n \rangle / \sum_n w_n`, whose root is looked for in :math:`\log \beta`.

    Parameters
    ----------
    logits : array_like (n_samples, n_classes)
        Finite; of samples that were not trained on.
    targets : array_like (n_samples,) or (n_samples, n_classes)
        The class of each sample, or a distribution.
    sample_weight : array_like (n_samples,), optional

    Returns
    -------
    float
        Between s exp(-30) and s exp(30), s being the largest difference between two logits of a sample, as far as the
        dtype of the logits goes, so that `softmax` takes it. 1 where no temperature is better than another, because
        the logits of each sample are equal.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; no samples; logits that are not finite.

    Warns
    -----
    RuntimeWarning
        The best temperature is 0 (every sample is right) or infinity (logits are no better than chance): it is set to
        the least or the largest of that range.

    Notes
    -----
    Source: Guo et al. (2017), "On calibration of modern neural networks", section 4.2.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]  # says 88%, of which one in four is wrong
    >>> round(fs.fit_temperature(logits, [0, 0, 1, 1]), 4)
    1.8205
    """
    from scipy.optimize import brentq

    given = real_array("logits", logits)
    z, limits = given.astype(np.float64), np.finfo(result_dtypes(given.dtype)[1])
    if z.ndim != 2 or not z.size:
        raise ValueError(f"logits must have shape (n_samples, n_classes) and not be empty, got {z.shape}")
    with QUIET():
        z -= z.max(axis=1, keepdims=True)  # the same probabilities
        scale = -float(z.min()) or 1.0
        z /= scale
    if not np.isfinite(z).all():
        raise ValueError("logits must be finite, and their differences too")
    given_targets = real_array("targets", targets)

    def slope(log_beta: float) -> float:
        with QUIET():
            _, grad = cross_entropy_value_and_grad(math.exp(log_beta) * z, given_targets, sample_weight=sample_weight)
            return float((grad * z).sum())  # np.vdot is BLAS's, whose threads take longer to wake than this takes

    def temperature_at(log_beta: float) -> float:
        return min(max(scale * math.exp(-log_beta), float(limits.tiny)), float(limits.max))

    low, high = slope(-REACH), slope(REACH)
    if low == high == 0:
        return 1.0
    if low < 0 < high:
        return temperature_at(brentq(slope, -REACH, REACH, xtol=1e-12))
    reason, temperature = (
        ("every sample is right", temperature_at(REACH))
        if low < 0
        else ("no better than chance", temperature_at(-REACH))
    )
    warnings.warn(f"no temperature is best: {reason}; it is set to {temperature:g}", RuntimeWarning, stacklevel=2)
    return temperature
