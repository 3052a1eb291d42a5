"""Newton's method with truncated conjugate gradients (Nocedal & Wright 2006, algorithm 7.1), of a linear model."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.scaled import Scaled, product

GAIN, GAIN_OF_TOL = 1e-4, 1e-2  # of F, and of tol: what may be left to gain at the end
CHECK_STEPS, CHECK_RESIDUAL = 15, 0.3  # of conjugate gradients, which tell what is left
CG_STEPS = 200
FLAT = 4 * float(np.finfo(np.float64).eps)  # of a direction's square: less curvature is none


@dataclass
class NewtonCG:
    """Until the gradient is small enough for tol, and conjugate gradients find that little is left to gain.

    The Hessian is far from the identity where features have values far from all others: the gradient is small there
    long before the end.

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
        problem = Scaled(objective, params)
        self.coordinates = problem.coordinates
        if not math.isfinite(problem.value):
            return after_iteration(params, problem.value)  # which ends it
        newton, grad_there = _Direction(problem.grad), np.empty_like(problem.grad)
        n_iter = 0
        while True:
            is_good = problem.is_good(self.tol)
            if n_iter == self.max_iter and not is_good:
                return False
            enough = max(GAIN * problem.value, GAIN_OF_TOL * self.tol) if is_good else -1.0
            if newton.find(problem.hvp(), problem.grad, enough):
                if n_iter == 0:
                    after_iteration(params, problem.value)
                return True
            if n_iter == self.max_iter:
                return False
            slope = product(newton.direction, problem.grad)
            trial = problem.search(newton.direction, slope, 1.0, grad_there) if slope < 0 else None
            if trial is None:
                return problem.is_lost_in_rounding()
            problem.accept(trial)
            problem.grad, grad_there = grad_there, problem.grad
            if after_iteration(params, problem.value):
                return False
            n_iter += 1


class _Direction:
    """-H^-1 g, about: solved by conjugate gradients only so far as the gradient is small."""

    def __init__(self, grad: Array) -> None:
        self.direction, self._residual = np.empty_like(grad), np.empty_like(grad)
        self._along, self._product = np.empty_like(grad), np.empty_like(grad)

    def find(self, hvp: Callable[[Array, Array], Array], grad: Array, enough: float) -> bool:
        """Find the direction; or True, before it is found, where no more than `enough` of F is left to gain.

        What is left is about g^T H^-1 g / 2, of which each step of conjugate gradients adds what it finds.
        """
        size, along, residual = grad.size, self._along, self._residual
        self.direction.fill(0)
        np.negative(grad, out=residual)
        along[:] = residual
        squares = product(grad, grad)
        if squares == 0:
            return True
        end, gain = min(0.25, math.sqrt(squares)) * squares, 0.0
        known = max(CHECK_RESIDUAL**2 * squares, end)
        for steps in range(1, CG_STEPS + 1):
            curvature = product(along, hvp(along, self._product))
            if not curvature > FLAT * product(along, along):
                if steps == 1:
                    self.direction[:] = residual
                return False
            step = squares / curvature
            gain += 0.5 * step * squares
            before = squares
            squares = run(kernels.conjugate_step, size, step, along, self._product, self.direction, residual)
            if gain <= enough and (steps == CHECK_STEPS or squares <= known):
                return True
            if squares <= end:
                return False
            run(kernels.add_multiple, size, residual, squares / before, along, along)
        return False
