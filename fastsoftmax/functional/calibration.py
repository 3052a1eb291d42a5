"""Probabilities that mean what they say: the temperature of a classifier's logits."""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._arrays import real_array
from fastsoftmax.functional.losses import cross_entropy_value_and_grad

LARGEST = math.exp(10.0)  # temperature; 1 / LARGEST is the smallest


def fit_temperature(logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    r"""The temperature T that makes softmax(logits / T) as likely as can be (Guo et al. 2017, temperature scaling).

    The mean cross-entropy is convex in :math:`\beta = 1/T`, with the derivative
    :math:`\sum_n w_n \langle p_n - t_n, z_n \rangle / \sum_n w_n`, whose root is looked for.

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
        Between exp(-10) and exp(10). 1 where no temperature is better than another, because logits are all equal.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; no samples; logits that are not finite.

    Warns
    -----
    RuntimeWarning
        The best temperature is out of that range: every sample is right (0 would be best), or logits are no better
        than chance (infinity would be).

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]  # says 88%, of which one in four is wrong
    >>> round(fs.fit_temperature(logits, [0, 0, 1, 1]), 4)
    1.8205
    """
    from scipy.optimize import brentq

    z = real_array("logits", logits).astype(np.float64)
    if z.ndim != 2 or not z.size:
        raise ValueError(f"logits must have shape (n_samples, n_classes) and not be empty, got {z.shape}")
    if not np.isfinite(z).all():
        raise ValueError("logits must be finite, got NaN or infinity")
    z = z - z.max(axis=1, keepdims=True)  # the same probabilities, and no overflow at the ends of the range

    def slope(log_beta: float) -> float:
        _, grad = cross_entropy_value_and_grad(math.exp(log_beta) * z, targets, sample_weight=sample_weight)
        return float(np.vdot(grad, z))

    low, high = slope(-10.0), slope(10.0)
    if low == high == 0:
        return 1.0
    if low < 0 < high:
        return math.exp(-brentq(slope, -10.0, 10.0, xtol=1e-12))
    reason, temperature = ("every sample is right", 1 / LARGEST) if low < 0 else ("no better than chance", LARGEST)
    warnings.warn(f"no finite temperature is best: {reason}; it is {temperature:g}", RuntimeWarning, stacklevel=2)
    return temperature
