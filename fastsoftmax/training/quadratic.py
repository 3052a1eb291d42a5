"""The quadratic model of a multinomial loss about a point, with the penalty, over some of the weights.

Coordinate descent minimises it; every HISTORY sweeps Anderson's extrapolation from the weights after each (Bertrand &
Massias 2021, "Anderson acceleration of coordinate descent", algorithm 1) is taken if it is lower.
"""

from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.column_hessian import ByHessian
from fastsoftmax.training.columns import Selection
from fastsoftmax.training.duality import Penalised, weighted_sum

SWEEPS = 100  # at the most


class ByRows:
    """The curvature of a model, by sums over the rows: where sweeps are, is the logits' changes and their mean.

    Attributes as those of ByHessian.
    """

    precision, history = 0.1, 5

    def __init__(self, model: Penalised, some: Selection) -> None:
        self._columns, self._some, self._probs, self._row_weight = model.columns, some, model.probs, model.row_weight
        self._weighted = model.row_weight * model.probs
        self._motion = self._columns.at_rest(model.row_weight, model.probs)
        self.curvatures = self._columns.squares(some, self._weighted * (1.0 - model.probs))

    def sweep(self, by_coordinate: Array) -> float:
        """As Columns.sweep."""
        return self._columns.sweep(self._some, self._motion, by_coordinate)

    @property
    def where(self) -> tuple[Array, Array]:
        """The changes (C, N), and their mean (N,)."""
        return self._motion.changes, self._motion.mean

    @where.setter
    def where(self, there: tuple[Array, Array]) -> None:
        self._motion.changes[:], self._motion.mean[:] = there

    def at(self, steps: Array) -> tuple[Array, Array]:
        """Where sweeps would be, had the weights changed by so much."""
        changes = np.zeros_like(self._probs)
        self._columns.add(self._some, steps, changes)
        return changes, np.einsum("cn,cn->n", self._probs, changes)

    def curved(self, _: Array, where: tuple[Array, Array]) -> float:
        """d^T H d."""
        changes, mean = where
        return weighted_sum(self._weighted, changes * changes) - weighted_sum(self._row_weight, mean * mean)

    def changes(self, _: Array) -> Array:
        """Of the logits, by steps of the weights."""
        return self._motion.changes


class Quadratic:
    """The model where F stands.

    Parameters
    ----------
    start : the weights
    slopes : of the loss along them
    penalty : l1 and l2 of each
    most : by how much each may change
    curvature : of the loss
    """

    def __init__(
        self, start: Array, slopes: Array, penalty: tuple[Array, Array], most: Array, curvature: ByRows | ByHessian
    ) -> None:
        self.start, self._slopes, self._penalty, self._curvature = start, slopes, penalty, curvature
        self._by_coordinate = np.stack([start, slopes, curvature.curvatures, *penalty, start - most, start + most])

    def minimise(self, violation: float) -> tuple[Array, Array]:
        """The weights about the minimum; and the logits' changes. violation: of its conditions, at the start."""
        weights, history, enough = self._by_coordinate[0], [self.start], self._curvature.precision * violation
        for _ in range(SWEEPS):
            if self._curvature.sweep(self._by_coordinate) <= enough:
                break
            history.append(weights.copy())
            if len(history) > self._curvature.history:
                self._extrapolate(np.array(history))
                history = [weights.copy()]
        return weights, self._curvature.changes(weights - self.start)

    def _extrapolate(self, history: Array) -> None:
        """Go to where the weights seem to be heading, if the model is lower there."""
        steps = history[1:] - history[:-1]
        try:
            mixed = np.linalg.solve(np.einsum("in,jn->ij", steps, steps), np.ones(len(steps)))
        except np.linalg.LinAlgError:
            return
        _, _, _, _, _, low, high = self._by_coordinate
        weights = np.clip(np.einsum("i,in->n", mixed / mixed.sum(), history[1:]), low, high)
        if not np.isfinite(weights).all():
            return
        there: Any = self._curvature.at(weights - self.start)
        if self._value(weights, there) < self._value(history[-1], self._curvature.where):
            self._by_coordinate[0] = weights
            self._curvature.where = there

    def _value(self, weights: Array, where: Any) -> float:
        steps, (l1, l2) = weights - self.start, self._penalty
        penalty = l1 @ np.abs(weights) + 0.5 * (l2 @ (weights * weights))
        return float(self._slopes @ steps + 0.5 * self._curvature.curved(steps, where) + penalty)
