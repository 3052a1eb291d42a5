"""The quadratic model of a multinomial loss about a point, with the penalty, over some of the weights.

Coordinate descent minimises it; every HISTORY sweeps Anderson's extrapolation from the weights after each (Bertrand &
Massias 2021, "Anderson acceleration of coordinate descent", algorithm 1) is taken if it is lower.
"""

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.columns import Selection
from fastsoftmax.training.duality import Penalised, weighted_sum

SWEEPS = 100  # at the most
HISTORY = 5  # sweeps from one extrapolation to the next


class Quadratic:
    """The model where F stands.

    Parameters
    ----------
    some : the coordinates
    slopes : of the loss along them
    penalty : l1 and l2 of each
    most : by how much each may change
    """

    def __init__(
        self, model: Penalised, some: Selection, slopes: Array, penalty: tuple[Array, Array], most: Array
    ) -> None:
        self._columns, self._some, self._slopes, self._penalty = model.columns, some, slopes, penalty
        self.start = model.weight[some.at]
        weighted = model.row_weight * model.probs
        self._weighted, self._probs, self._row_weight = weighted, model.probs, model.row_weight
        self._motion = self._columns.at_rest(model.row_weight, model.probs)
        curvature = self._columns.squares(some, weighted * (1.0 - model.probs))
        limits = self.start - most, self.start + most
        self._by_coordinate = np.stack([self.start, slopes, curvature, *penalty, *limits])

    def minimise(self, precision: float) -> tuple[Array, Array]:
        """The weights at the minimum, when a sweep mends no violation above `precision`; and the logits' changes."""
        weights, history = self._by_coordinate[0], [self.start]
        for _ in range(SWEEPS):
            if self._columns.sweep(self._some, self._motion, self._by_coordinate) <= precision:
                break
            history.append(weights.copy())
            if len(history) > HISTORY:
                self._extrapolate(np.array(history))
                history = [weights.copy()]
        return weights, self._motion.changes

    def _extrapolate(self, history: Array) -> None:
        """Go to where the weights seem to be heading, if the model is lower there."""
        steps = np.diff(history, axis=0)
        try:
            mixed = np.linalg.solve(np.einsum("in,jn->ij", steps, steps), np.ones(len(steps)))
        except np.linalg.LinAlgError:
            return
        _, _, _, _, _, low, high = self._by_coordinate
        weights = np.clip(np.einsum("i,in->n", mixed / mixed.sum(), history[1:]), low, high)
        if not np.isfinite(weights).all():
            return
        _, now, mean_now = self._motion
        changes = np.zeros_like(self._probs)
        self._columns.add(self._some, weights - self.start, changes)
        mean = np.einsum("cn,cn->n", self._probs, changes)
        if self._value(weights, changes, mean) < self._value(history[-1], now, mean_now):
            self._by_coordinate[0] = weights
            now[:], mean_now[:] = changes, mean

    def _value(self, weights: Array, changes: Array, mean: Array) -> float:
        curved = weighted_sum(self._weighted, changes * changes) - weighted_sum(self._row_weight, mean * mean)
        l1, l2 = self._penalty
        penalty = l1 @ np.abs(weights) + 0.5 * (l2 @ (weights * weights))
        return float(self._slopes @ (weights - self.start) + 0.5 * curved + penalty)
