"""F in float32, for the larger part of the way to the minimum of F in float64: a pass over X takes half of the time."""

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.objective import ArrayObjective, Objective

LEAST_WORK = 2**16  # multiplications of a pass, from which on a copy pays
MOST_COPIED = 2**20  # numbers of X
LARGEST = 1e15  # deviation of a feature, and the inverse of the least: far from where float32 ends
FARTHEST = 64.0  # deviations that a mean may be from 0: rounding then changes no feature by more than 4e-6 of its own


def rough_form(objective: Objective) -> ArrayObjective | None:
    """A linear model's F on a copy of X in float32; None where a copy would not pay, or lose too much.

    It does not follow the objective's alpha.
    """
    if not isinstance(objective, ArrayObjective) or objective.dtype != np.float64 or not objective.is_linear:
        return None
    if objective.parts.is_sparse or objective.backward != "fused" or objective.X.size > MOST_COPIED:
        return None
    if objective.X.size * int(objective.network.sizes[1]) < LEAST_WORK or not _rounds_well(objective):
        return None
    targets: Array = objective.targets.astype(np.float32) if objective.targets.ndim == 2 else objective.targets
    return ArrayObjective(
        objective.X.astype(np.float32),
        targets,
        objective.network,
        objective.sample_weight,
        loss=objective.loss,
        alpha=objective.alpha,
        label_smoothing=objective.label_smoothing,
        fit_intercept=objective.fit_intercept,
        pins_first_class=objective.pins_first_class,
    )


def _rounds_well(objective: Objective) -> bool:
    spread = objective.spread(0, or_any=True)
    varies = spread.deviation > 0
    deviation = spread.deviation[varies]
    mean = np.abs(spread.mean[varies]) if spread.mean.size else np.zeros_like(deviation)
    held = (deviation > 1 / LARGEST) & (deviation < LARGEST) & (mean < FARTHEST * deviation)
    return bool(held.all())
