"""lbfgs with L1: proximal quasi-Newton by passes over the rows, until the duality gap is small.

X is read for one value and gradient an iteration, wherever it lies. Each iteration minimises the model

    g^T d + 1/2 d^T B d + sum_j (l1_j |u_j + d_j| + l2_j/2 (u_j + d_j)^2)        B = theta (I - J / C) - Q R Q^T

of F by coordinate descent, over the weights that are not 0 or whose conditions of the minimum do not hold, and goes
there as far as F falls. B is what the memory of L-BFGS says of the loss's Hessian, in its compact form (Byrd, Nocedal &
Schnabel 1994, theorem 2.3), of which each row is short: a coordinate takes 4 m operations (Scheinberg & Tang 2016,
"Practical inexact proximal quasi-Newton method with global complexity analysis", section 5). J adds up the weights of
a feature over the classes: that all of them change by as much changes no loss, and B knows it from the start, because
only L1 ends such motion (50 000 rows, 100 features, 10 classes: 18 iterations, with theta I 56).
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.composite import Composite, Point
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.duality import HALVINGS, SUFFICIENT, weighted_sum
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective

# Bytes of a vector below which so many steps and changes of the gradient are remembered. With 10 breast_cancer takes
# 141 passes, with 20 89, with 40 73; and with 20 and the geometric mean for theta 79
PAIRS = (2**21, 20), (2**22, 10), (math.inf, 3)
SWEEPS, PRECISION = 100, 0.01  # of coordinate descent, relative to the violation that it began with
LEAST_CURVATURE = 1e-6  # along a coordinate, over theta: rounding
LOOK_EVERY = 3  # iterations at the least, because to look at the gap takes a pass
NOISE, STALLED = 8.0, 20  # eps of F: what its value is known to; iterations that lower it by less
ROUNDING = 1e4  # eps of F: a gap that may be left when no step goes down


@dataclass
class ProximalLBFGS:
    """Until the gap is at most tol (F + tol), or no step goes down any more.

    Attributes
    ----------
    dual_gap : of F after a call
    """

    goes_through_bad: ClassVar[bool] = False
    tol: float
    max_iter: int
    coordinates: Coordinates | None = field(default=None, init=False)
    dual_gap: float = field(default=math.inf, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        problem, eps = Composite(objective, params), float(np.finfo(params.dtype).eps)
        self.coordinates, point, gap = problem.coordinates, problem.start, _Gap(problem, self.tol)
        if not math.isfinite(point.value) or gap.is_small(point):
            problem.write(point, params)
            self.dual_gap = gap.last
            after_iteration(params, point.value)
            return True
        hessian, lowest, stalled = _CompactHessian(problem, eps), point.value, 0
        for iteration in range(self.max_iter):
            there = hessian.step(point)
            stalled = 0 if there is not None and there.value < lowest - hessian.noise(point) else stalled + 1
            if there is None or stalled > STALLED:
                if iteration == 0:  # nobody has been told of any point
                    problem.write(point, params)
                    after_iteration(params, point.value)
                return self._is_enough(gap, point, ROUNDING * eps * abs(point.value))
            point, lowest = there, min(lowest, there.value)
            done = gap.is_small(point)
            problem.write(point, params)
            if after_iteration(params, point.value) or done:
                self.dual_gap = gap.last
                return done
        return self._is_enough(gap, point)

    def _is_enough(self, gap: "_Gap", point: Point, rounding: float = 0.0) -> bool:
        is_small, self.dual_gap = gap.is_small_at(point, rounding), gap.last
        return is_small


class _Gap:
    """The duality gap, which takes a pass: looked at where it may be small enough, but not in each iteration.

    Attributes
    ----------
    last : by the best bound so far
    """

    def __init__(self, problem: Composite, tol: float) -> None:
        self._problem, self._tol = problem, tol
        self._bound, self._unseen, self.last = -math.inf, LOOK_EVERY, math.inf

    def is_small(self, point: Point) -> bool:
        """Whether it is at most tol (F + tol), as far as it is looked at."""
        self._unseen += 1
        if self._unseen < LOOK_EVERY or not self._problem.least_gap(point) <= self._enough(point):
            return False
        return self.is_small_at(point)

    def is_small_at(self, point: Point, rounding: float = 0.0) -> bool:
        """Look at it: whether it is at most tol (F + tol), or else what rounding may leave."""
        self._unseen, self._bound = 0, max(self._bound, self._problem.bound(point))
        self.last = max(0.0, point.value - self._bound)
        return self.last <= max(self._enough(point), rounding)

    def _enough(self, point: Point) -> float:
        return self._tol * (point.value + self._tol)


class _CompactHessian:
    """The last steps s and what they changed of the gradient, y, both over the step's length; and steps by them."""

    def __init__(self, problem: Composite, eps: float) -> None:
        self._problem, self._eps, (weight, bias) = problem, eps, problem.split(problem.l1)
        self._class_mean = 0.0 if problem.pins_first_class else 1.0 / len(bias)
        self._features = np.append(np.tile(np.arange(weight.shape[1]), len(bias)), np.full(len(bias), weight.shape[1]))
        self._most = next(pairs for n_bytes, pairs in PAIRS if problem.l1.nbytes < n_bytes)
        self._steps, self._changes = list[Array](), list[Array]()

    def noise(self, point: Point) -> float:
        """What F is known to."""
        return NOISE * self._eps * max(abs(point.value), self._eps)

    def step(self, point: Point) -> Point | None:
        """To a lower point, or None if no step goes down."""
        while True:
            there = self._search(point, *self._minimised(point))
            if there is not None:
                self._remember(self._problem.among_classes(there.u - point.u), there.grad - point.grad)
                return there
            if not self._steps:
                return None
            self._forget()

    def _forget(self) -> None:
        self._steps, self._changes = [], []

    def _remember(self, step: Array, change: Array) -> None:
        squares, curvature = weighted_sum(step, step), weighted_sum(step, change)
        if not curvature > self._eps * math.sqrt(squares * weighted_sum(change, change)):
            return
        length = math.sqrt(squares)
        self._steps = [*self._steps[1 - self._most :], step / length]
        self._changes = [*self._changes[1 - self._most :], change / length]

    def _minimised(self, point: Point) -> tuple[Array, float]:
        """The u where the model is least, and by how much it is lower there but for its curvature."""
        problem, u = self._problem, point.u.copy()
        slopes = point.grad + problem.l2 * u
        violation = np.where(u != 0, np.abs(slopes + problem.l1 * np.sign(u)), np.abs(slopes) - problem.l1)
        some = np.flatnonzero((u != 0) | (violation > 0))
        theta, rows, images = self._hessian(some, violation)
        curvature = theta * (1.0 - self._class_mean) - np.einsum("nk,nk->n", rows, images)
        most = np.full(len(some), math.inf)
        penalties, limits = (problem.l1[some], problem.l2[some]), (-most, most)
        model = np.stack(
            [u[some], point.grad[some], np.maximum(curvature, LEAST_CURVATURE * theta), *penalties, *limits]
        )
        how = rows, images, theta, self._features[some], self._class_mean, u[some]
        moved = np.zeros(rows.shape[1]), np.zeros(int(self._features.max()) + 1)
        for _ in range(SWEEPS):
            if kernels.memory_sweep(*how, *moved, model) <= PRECISION * float(violation.max(initial=0.0)):
                break
        u[some] = model[0]
        return u, weighted_sum(point.grad, u - point.u) + problem.penalty(u) - problem.penalty(point.u)

    def _hessian(self, some: Array, violation: Array) -> tuple[float, Array, Array]:
        """theta, and the rows of Q and Q R of some coordinates."""
        if not self._steps:  # features that go together make the Hessian larger than the identity: length 1
            missed, none = np.maximum(violation, 0.0), np.empty((len(some), 0))
            return max(1.0, math.sqrt(weighted_sum(missed, missed))), none, none
        steps, changes = np.array(self._steps), np.array(self._changes)
        mixed = np.array([[weighted_sum(s, y) for y in changes] for s in steps])
        theta = math.sqrt(weighted_sum(changes[-1], changes[-1]) / weighted_sum(steps[-1], steps[-1]))
        among = np.array([[weighted_sum(s, t) for t in steps] for s in steps])
        below = np.tril(mixed, -1)
        middle = np.block([[theta * among, below], [below.T, -np.diag(np.diagonal(mixed))]])
        try:
            inverse = np.linalg.inv(middle)
        except np.linalg.LinAlgError:
            self._forget()
            return self._hessian(some, violation)
        rows = np.ascontiguousarray(np.vstack([theta * steps[:, some], changes[:, some]]).T)
        return theta, rows, np.einsum("nk,kj->nj", rows, inverse)

    def _search(self, point: Point, u: Array, decrease: float) -> Point | None:
        """As far towards u as F falls enough, by half as much each time; None if it does not."""
        noise, length = self.noise(point), 1.0
        if not decrease < 0:
            return None
        for _ in range(HALVINGS):
            there = self._problem.at(u if length == 1.0 else point.u + length * (u - point.u))
            if there.value - point.value <= SUFFICIENT * length * decrease + noise:
                return there
            length /= 2
        return None
