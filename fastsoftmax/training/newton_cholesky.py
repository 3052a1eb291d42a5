"""newton-cholesky: Newton's method with the whole Hessian, for linear models of few parameters and the cross-entropy.

F depends on what the logits of the classes differ by from those of the first one alone, but for the penalty: that is
least, for given differences, where the weights of a feature add up to 0 over the classes. So it is the differences
V = (V_c - V_0), (C - 1, D + 1), that are searched for, and the Hessian in them has no null space that is there always:

    F(V) = L(V) + alpha/2S sum_d (sum_c V_cd^2 - (sum_c V_cd)^2 / C)

or, of two classes, the first of which has logits 0, alpha/2S sum_d V_d^2. L is the mean loss; features are standardised
(coordinates.py), because far from 0 they would say what the bias says.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective

SLACK = 25.0
ENOUGH, HALVINGS = 2.0**-11, 20  # Armijo's constant; how often a step is halved
EPS = float(np.finfo(float).eps)
ROUNDING = 16 * EPS  # of F


class _Point(NamedTuple):
    """F and its gradient in V (flat)."""

    V: Array
    value: float
    grad: Array


class _InDifferences:
    """An objective as a function of V, in float64 whatever the dtype of the data."""

    def __init__(self, objective: Objective, dtype: Any) -> None:
        self.coordinates, self._objective, self._dtype = Coordinates(objective, whitens=False), objective, dtype
        scale, mean, bias_scale = self.coordinates.scaling
        n_features, n_classes = map(int, objective.network.sizes)
        with_bias = objective.fit_intercept
        self._features = mean if with_bias else np.zeros(n_features), scale, bias_scale if with_bias else 0.0
        self._ridge = objective.alpha / objective.total * np.append(scale, 0.0) ** 2
        n_others = n_classes - 1
        self._among = np.eye(n_others) - (0.0 if objective.pins_first_class else 1.0 / n_classes)
        self._weight, self._grad = np.zeros((n_classes, n_features + 1)), np.empty((n_classes, n_features + 1))
        self._hessian = np.empty((n_others * (n_features + 1),) * 2)
        blocks = self._hessian.reshape(n_others, n_features + 1, n_others, n_features + 1)
        self._diagonals = np.einsum("cdkd->ckd", blocks)  # a view: of each block
        self._added = self._among[:, :, None] * self._ridge

    def start(self, params: Array) -> Array:
        """The V of the parameters."""
        ((weight, bias),) = self._objective.network.layers(self.coordinates.unwhitened(params))
        U = np.column_stack([weight, bias * self._objective.fit_intercept])
        return (U - U[0])[1:].ravel()

    def params(self, V: Array) -> Array:
        """The parameters at V."""
        U = np.zeros_like(self._weight)
        U[1:] = V.reshape(len(U) - 1, -1)
        if not self._objective.pins_first_class:
            U -= U.sum(axis=0) / len(U)
        u = np.concatenate([U[:, :-1].ravel(), U[:, -1]])
        return self.coordinates.params(u, np.empty(u.size, self._dtype))

    def at(self, V: Array) -> _Point:
        """F and its gradient; the Hessian is kept until the next call."""
        differences = V.reshape(len(self._among), -1)
        self._weight[1:] = differences
        value = self._objective.hessian(self._weight, self._features, self._grad, self._hessian)
        by_penalty = self._ridge * (self._among @ differences)
        value += 0.5 * float(np.vdot(differences, by_penalty))
        return _Point(V, value, (self._grad[1:] + by_penalty).ravel())

    def factor(self) -> Array | None:
        """The Cholesky factor of the Hessian, where F was evaluated last, if it has one."""
        self._diagonals += self._added
        return _cholesky(self._hessian)


def _cholesky(matrix: Array) -> Array | None:
    """The upper triangular factor of a symmetric matrix, or of one with a larger diagonal if it is not definite.

    So much is added to each element of the diagonal, relatively, as rounding has changed it by anyway; and more if that
    is not enough (Nocedal & Wright, algorithm 3.3). Along a direction in which F is constant, because features are
    combinations of one another, the gradient is 0: it is left alone. None where no diagonal is large enough.
    """
    from scipy.linalg.lapack import dpotrf

    diagonal = matrix.reshape(-1)[:: len(matrix) + 1]
    size, more = np.where(diagonal > 0, diagonal, 1.0), 4 * EPS * len(matrix)
    while True:
        diagonal[:] = size * (1 + more)
        factor, failed = dpotrf(matrix.T, clean=0)
        if not failed:
            return factor
        if not more < 1:
            return None
        more *= 10


def _solve(factor: Array, vector: Array) -> Array:
    from scipy.linalg.lapack import dpotrs

    solution: Array = dpotrs(factor, vector)[0]
    return solution


@dataclass
class NewtonCholesky:
    """Newton's method with a line search, until about as little is left to gain as lbfgs leaves for the same tol.

    What is left, g^T H^-1 g / 2, half of the square of Newton's decrement, is at the end at most
    (25 tol)^2 (F + tol) / 2; or no step goes down any more. The Hessian is built wherever F is evaluated, because most
    steps are taken whole, and it takes another pass over X otherwise.

    Attributes
    ----------
    coordinates : after a call, those that it worked in
    """

    goes_through_bad: ClassVar[bool] = False
    tol: float
    max_iter: int
    coordinates: Coordinates | None = field(default=None, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        problem = _InDifferences(objective, params.dtype)
        self.coordinates = problem.coordinates
        point = problem.at(problem.start(params))
        n = 0
        while True:
            if not np.isfinite(point.value):
                return after_iteration(params, point.value)  # which ends it
            factor = problem.factor()
            step = -point.grad if factor is None else -_solve(factor, point.grad)
            left = -0.5 * float(point.grad @ step)
            if self._is_little(left, point.value):
                if n == 0:
                    params[:] = problem.params(point.V)
                    after_iteration(params, point.value)
                return True
            if n == self.max_iter:
                return False
            # where all rows are sure, of wrong classes, too, the Hessian says nothing: then the gradient leads on
            there = _search(problem, point, step) or _search(problem, point, -point.grad)
            if there is None:  # no step goes down any more: fine if what is left to gain is lost in the rounding of F
                return left <= 4 * ROUNDING * max(1.0, abs(point.value))
            point = there
            params[:] = problem.params(point.V)
            if after_iteration(params, point.value):
                return False
            n += 1

    def _is_little(self, left: float, value: float) -> bool:
        return 0 <= left <= 0.5 * (SLACK * self.tol) ** 2 * (max(value, 0.0) + self.tol)


def _search(problem: _InDifferences, point: _Point, step: Array) -> _Point | None:
    """The first point of the step, its half, its quarter, ... where F is low enough; None if there is none.

    By Armijo's rule; where F changes by its rounding alone, the gradient is to fall, as in scikit-learn's NewtonSolver.
    """
    slope, length = float(point.grad @ step), 1.0
    for _ in range(HALVINGS):
        there = problem.at(point.V + length * step)
        change = there.value - point.value
        if change <= ENOUGH * length * slope:
            return there
        if abs(change) <= ROUNDING * abs(point.value) and np.abs(there.grad).sum() < np.abs(point.grad).sum():
            return there
        length /= 2
    return None
