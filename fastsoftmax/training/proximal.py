"""coordinate-descent: proximal Newton for a linear model with L1, L2 or both, until the duality gap is small.

Each iteration minimises the quadratic model of the loss plus the penalty over a working set of weights, and goes there
as far as F falls (Armijo's rule for composite functions: Tseng & Yun 2009; Lee, Sun & Saunders 2014): it ends at the
minimum from any start. In the working set are the weights that are not 0 and those that violate the conditions of the
minimum most, by one gradient of all; it is left when they hold in it.

The model is minimised by coordinate descent (kernels/fit/coordinate_descent.py), over the rows or by the Hessian of the
set (column_hessian.py), which Anderson's extrapolation speeds up (Bertrand & Massias 2021). Where rows are sure of
their classes it hardly curves, though F does not go on like that: so a weight may move by no more than changes a logit
by `reach`, which grows and shrinks as steps do well or not.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.column_hessian import ByHessian, Hessian, pays
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.duality import HALVINGS, SUFFICIENT, Given, Penalised, given_by
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.quadratic import ByRows, Quadratic

LEAST_SET, GROWTH = 8192, 3  # coordinates of a working set, and times those that are not 0, at the most
AS_BEFORE = 0.1  # of a violation, if a step leaves no more: then the next one goes by the same Hessian
SOLVED = 0.1  # of the violation that a working set began with: then it is left
REACH, GROWTH_OF_REACH, SHRINKING = 2.0, 2.0, 0.1  # the first; by how much it grows, and shrinks at the most
ROUNDING = 1e4  # eps of F: a gap that may be left when no step goes down


@dataclass
class ProximalNewton:
    """coordinate-descent, until the gap is at most tol (F + tol), or no step goes down any more.

    Attributes
    ----------
    dual_gap : of F after a call, or after its last iteration
    """

    goes_through_bad: ClassVar[bool] = False
    tol: float
    max_iter: int
    coordinates: Coordinates | None = field(default=None, init=False)
    dual_gap: float = field(default=math.inf, init=False)
    _given: tuple[Objective, Given] | None = field(default=None, init=False)  # of the last call, for a path

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        assert isinstance(objective, ArrayObjective)  # of others there are no columns
        if self._given is None or self._given[0] is not objective:
            self._given = objective, given_by(objective)
        model = Penalised(objective, params, self._given[1])
        model.evaluate()
        if not math.isfinite(model.value) or self._is_done(model):
            model.write(params)
            after_iteration(params, model.value)
            return True
        working_set = _WorkingSet(model)
        for _ in range(self.max_iter):
            moved = working_set.step()
            if is_left := not moved or working_set.is_solved:
                model.evaluate()
            done = self._is_done(model)
            model.write(params)
            if after_iteration(params, model.value) or done:
                return done
            if not moved:
                return self.dual_gap <= ROUNDING * float(np.finfo(params.dtype).eps) * abs(model.value)
            if is_left:
                working_set = _WorkingSet(model, working_set)
        value = model.value  # of the params; what follows finds a bound, and moves the biases
        model.evaluate()
        self.dual_gap = value - model.value + model.gap
        return self.dual_gap <= self.tol * (value + self.tol)

    def _is_done(self, model: Penalised) -> bool:
        self.dual_gap = model.gap
        return self.dual_gap <= self.tol * (model.value + self.tol)


class _WorkingSet:
    """The weights that are not 0 or violate most, sorted by feature, and the biases.

    Attributes
    ----------
    reach : by how much a weight may change a logit in the next step
    is_solved : whether the conditions of the minimum hold well enough in the set
    """

    def __init__(self, model: Penalised, before: "_WorkingSet | None" = None) -> None:
        self._model, self.is_solved = model, False
        self.reach: float = REACH if before is None else before.reach
        self._hessian: Hessian | None = None if before is None else before._hessian
        self._some = model.columns.select(*_chosen(model))
        is_weight = self._some.features < model.weight.shape[1] - 1
        self._penalty = model.l1 * is_weight, model.l2 * is_weight
        self._unit = 1.0 / model.columns.largest(self._some.features)
        self._slopes = model.grad[self._some.at]
        self._first_violation = self._violation()

    def _violation(self) -> float:
        """How far the conditions of the minimum are from being met."""
        (l1, l2), weights = self._penalty, self._model.weight[self._some.at]
        slopes = self._slopes + l2 * weights
        apart = np.where(weights != 0, np.abs(slopes + l1 * np.sign(weights)), np.abs(slopes) - l1)
        return float(apart.max(initial=0.0))

    def step(self) -> bool:
        """To the minimum of the model over the set, or as far as F falls; False if it does not."""
        violation, had_hessian = self._violation(), self._hessian is not None
        if violation == 0:
            return False
        if not self._go(violation):
            self._hessian = None
            return had_hessian and self._go(violation)
        return True

    def _go(self, violation: float) -> bool:
        """One step, by the curvature that there is or else a new one."""
        model, start, most = self._model, self._model.weight[self._some.at], self.reach * self._unit
        quadratic = Quadratic(start, self._slopes, self._penalty, most, self._curvature())
        weights, changes = quadratic.minimise(violation)
        if not self._search(start, weights, changes):
            return False
        self._slopes = model.columns.sums(self._some, model.cotangent)
        left = self._violation()
        self.is_solved = left <= SOLVED * self._first_violation
        if left > AS_BEFORE * violation:
            self._hessian = None
        return True

    def _curvature(self) -> ByRows | ByHessian:
        """What the model curves by."""
        if not pays(self._model, self._some):
            return ByRows(self._model, self._some)
        if self._hessian is None or not self._hessian.covers(self._some):
            self._hessian = Hessian(self._model, self._some)
        return ByHessian(self._hessian, self._model, self._some)

    def _search(self, start: Array, end: Array, changes: Array) -> bool:
        """Go from weights towards others, by half as much until F falls enough. changes: of the logits."""
        model, penalty, length = self._model, self._penalty, 1.0
        before = model.penalty(start, *penalty)
        decrease = min(0.0, float(self._slopes @ (end - start)) + model.penalty(end, *penalty) - before)
        slack = 1e-15 * abs(model.loss)
        for _ in range(HALVINGS):
            weights, logits = start + length * (end - start), model.logits + length * changes
            there = model.at(logits)
            more = model.penalty(weights, *penalty) - before
            if there[-1] - model.loss + more <= SUFFICIENT * length * decrease + slack:
                model.move(self._some.at, weights, logits, there, more)
                self.reach *= GROWTH_OF_REACH if length == 1.0 else max(length, SHRINKING)
                return True
            length /= 2
        return False


def _chosen(model: Penalised) -> tuple[Array, Array]:
    """Features and classes of a working set, by feature, and the biases behind them."""
    weight, (n_classes, n_columns) = model.weight[:, :-1], model.weight.shape
    slopes, present = model.grad[:, :-1] + model.l2 * weight, weight != 0
    most = max(LEAST_SET, GROWTH * int(np.count_nonzero(present)))
    classes, features = np.nonzero(present | (np.abs(slopes) > model.l1))
    if len(features) > most:
        size = np.where(present[classes, features], np.inf, np.abs(slopes[classes, features]))
        largest = np.argpartition(-size, most - 1)[:most]
        classes, features = classes[largest], features[largest]
    # class by class a sweep of dense X could do with one number a row, but more of them are needed (CSR: 2.5 times)
    order = np.lexsort((classes, features))
    classes, features = classes[order], features[order]
    if model.has_bias:
        features = np.append(features, np.full(n_classes, n_columns - 1))
        classes = np.append(classes, np.arange(n_classes))
    return features, classes
