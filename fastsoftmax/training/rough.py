"""F in float32, for the larger part of the way to the minimum of F in float64: a pass over X takes half of the time."""

import numpy as np
from scipy.sparse import csr_array

from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.parts import Part, Sums
from fastsoftmax.training.spread import stack

# Multiplications of a pass, from which on a copy pays: fits take 0.85 of the time then, and 0.55 of 2^24
LEAST_WORK = 2**17
MOST_COPIED = 2**22  # numbers of X: 16 MB
LARGEST = 1e15  # deviation of a feature, and the inverse of the least: far from where float32 ends
FARTHEST = 64.0  # deviations that a mean may be from 0: rounding then changes no feature by more than 4e-6 of its own


def rough_form(objective: Objective, most_copied: int = MOST_COPIED) -> ArrayObjective | None:
    """A linear model's F on a copy of X in float32, in this process wherever X lies; None: no gain, or a loss.

    most_copied: numbers of X. The form does not follow the objective's alpha.
    """
    parts, n_classes = objective.parts, int(objective.network.sizes[-1])
    if objective.dtype != np.float64 or not objective.is_linear or objective.backward != "fused":
        return None
    n_numbers = objective.spread(0, or_any=True).n_numbers
    if n_numbers > most_copied or n_numbers * n_classes < LEAST_WORK or not _rounds_well(objective):
        return None
    *X, labels, distribution, sample_weight = parts.fold(_rounded, combine=stack)
    shape = parts.n_rows, parts.n_features
    return ArrayObjective(
        csr_array((*X[:2], np.append(0, np.cumsum(X[2]))), shape=shape) if parts.is_sparse else X[0],
        labels if labels.size else distribution,
        objective.network,
        sample_weight,
        loss=objective.loss,
        alpha=objective.alpha,
        label_smoothing=objective.label_smoothing,
        fit_intercept=objective.fit_intercept,
        pins_first_class=objective.pins_first_class,
    )


def _rounded(part: Part) -> Sums:
    """Rows of X, both kinds of targets, and weights: a copy. Of CSR numbers, their features, and how many a row has."""
    labels, distribution = part.by_kind
    if isinstance(part.rows, tuple):
        data, indices, indptr = part.rows
        X: Sums = data.astype(np.float32), indices.copy(), np.diff(indptr)
    else:
        X = (part.rows.astype(np.float32),)
    return *X, labels.copy(), distribution.astype(np.float32), part.sample_weight.copy()


def _rounds_well(objective: Objective) -> bool:
    spread = objective.spread(0, or_any=True)
    varies = spread.deviation > 0
    deviation = spread.deviation[varies]
    mean = np.abs(spread.mean[varies]) if spread.mean.size else np.zeros_like(deviation)
    held = (deviation > 1 / LARGEST) & (deviation < LARGEST) & (mean < FARTHEST * deviation)
    return bool(held.all())
