"""L-BFGS (Nocedal & Wright 2006, algorithm 7.5), in coordinates that suit the objective."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.scaled import Scaled

PAIRS = 10  # of steps and changes of the gradient that are remembered
# Of text, 3 pairs take as many iterations as 20. They are most of the memory: more are not kept of vectors this large
MANY_BYTES, FEW_PAIRS = 2**22, 3
LITTLE = {"f": float(np.finfo(np.float32).eps), "d": 64 * float(np.finfo(np.float64).eps)}
NETWORK_LITTLE = 1e-3  # of tol: a network's valley is long, and rounding would grow on its way through it


@dataclass
class LBFGS:
    """Until the gradient is small enough for tol, or an iteration lowers F by little, relatively.

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
        if not math.isfinite(problem.value) or problem.is_good(self.tol):
            after_iteration(params, problem.value)
            return True
        little = LITTLE[objective.dtype.char] if objective.is_linear else NETWORK_LITTLE * self.tol
        memory = _Memory(problem.grad)
        for _ in range(self.max_iter):
            before = problem.value
            if not memory.search(problem):
                return problem.is_lost_in_rounding()
            if after_iteration(params, problem.value):
                return False
            if problem.is_good(self.tol):
                return True
            if before - problem.value <= little * max(abs(before), abs(problem.value), 1.0):
                return True
        return False


class _Memory:
    """The last pairs: how far a step went, and by how much it changed the gradient; see kernels/fit/lbfgs.py.

    The direction is made in the place of the next pair, and the gradient at its end beside it.
    """

    def __init__(self, grad: Array) -> None:
        self._most = PAIRS if grad.nbytes < MANY_BYTES else FEW_PAIRS
        self._rows = np.empty((2 * self._most, grad.size), grad.dtype)
        self._products, self._by_grad = np.empty((2 * self._most,) * 2), np.empty(2 * self._most)
        self._n_pairs, self._place = 0, 0

    def search(self, problem: Scaled) -> bool:
        """Go one step down, along the direction that is remembered or else along the gradient; False if none does."""
        while True:
            if self._step(problem):
                return True
            if self._n_pairs == 0:
                return False
            self._n_pairs = self._place = 0

    def _step(self, problem: Scaled) -> bool:
        grad, here = problem.grad, self._place
        direction, grad_there = self._rows[here], self._rows[self._most + here]
        products = self._products, self._by_grad
        newest = (here - 1) % self._most
        slope = run(kernels.lbfgs_direction, grad.size, self._rows, newest, self._n_pairs, grad, *products, here)
        if not slope < 0:
            return False
        # features that go together make the Hessian larger than the identity along the first gradient: length 1
        first = 1.0 if self._n_pairs else min(1.0, 1.0 / math.sqrt(-slope))
        trial = problem.search(direction, slope, first, grad_there)
        if trial is None:
            return False
        problem.accept(trial)
        n_pairs = min(self._n_pairs + 1, self._most)
        run(kernels.remember_pair, grad.size, self._rows, here, n_pairs, trial.step, grad, *products)
        curvature = self._products[here, self._most + here]
        if curvature > 0:
            self._n_pairs, self._place = n_pairs, (here + 1) % self._most
        elif n_pairs == self._n_pairs:  # the oldest pair is lost, and nothing came in its place
            self._n_pairs = self._place = 0
        return True
