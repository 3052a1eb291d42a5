"""L-BFGS (Nocedal & Wright 2006, algorithm 7.5), in coordinates that suit the objective."""

import math
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.rough import MOST_COPIED, rough_form
from fastsoftmax.training.scaled import Scaled

# Bytes of a vector below which so many steps and changes of the gradient are remembered: digits take 59 evaluations
# with 10 of them, 47 with 30. They are most of the memory of a fit of text, which 3 pairs serve as well as 20
PAIRS = (2**16, 30), (2**22, 10), (math.inf, 3)
LITTLE = {"f": float(np.finfo(np.float32).eps), "d": 64 * float(np.finfo(np.float64).eps)}
ROUGH, ROUGH_TOL = 0.98, 1e-5  # of tol, and the least, to which float32 goes: then mostly no step is left to float64
NETWORK_LITTLE = 1e-3  # of tol: a network's valley is long, and rounding would grow on its way through it


@dataclass
class LBFGS:
    """Until the gradient is small enough for tol, or an iteration lowers F by little, relatively.

    Called again with the same objective, whose alpha may be another one, it may begin with the pairs that it has: these
    tell much of the Hessian near the new minimum, and the part that the penalty has in it is known.

    A float64 objective that has a form in float32 (rough.py) is minimised in that, where a pass takes half the time,
    until the gradient seems small enough; the exact one tells whether it is, or float64 goes on from there.

    Attributes
    ----------
    keeps : whether it follows a path: pairs are kept for the next call
    most_copied : numbers of X, up to which there may be a copy of it in float32
    coordinates : after a call, those that it worked in
    """

    goes_through_bad: ClassVar[bool] = False
    tol: float
    max_iter: int
    keeps: bool = False
    most_copied: int = MOST_COPIED
    coordinates: Coordinates | None = field(default=None, init=False)
    _rough: tuple[Objective, Objective | None] | None = field(default=None, init=False)
    _kept: "tuple[Objective, Coordinates, _Memory] | None" = field(default=None, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        coordinates = self.coordinates = Coordinates(objective)
        coordinates.leave_out(params)
        n_iter, exact = 0, None
        memory: _Memory | None = None
        rough = None if coordinates.whitens else self._rough_form(objective)
        if rough is not None:
            rounded, tol = params.astype(rough.dtype), max(ROUGH * self.tol, ROUGH_TOL)
            problem = Scaled(rough, rounded, coordinates.rounded())
            if math.isfinite(problem.value) and not problem.is_good(tol):
                memory = self._memory(problem)
                for is_far_enough in self._steps(problem, memory, tol):
                    n_iter, params[:] = n_iter + 1, rounded
                    exact = Scaled(objective, params, coordinates) if is_far_enough else None
                    if after_iteration(params, problem.value if exact is None else exact.value):
                        return False
                    if exact is not None and exact.is_good(self.tol):
                        return True
                    if n_iter == self.max_iter:
                        return False
        problem = Scaled(objective, params, coordinates) if exact is None else exact
        if n_iter == 0 and (not math.isfinite(problem.value) or problem.is_good(self.tol)):
            after_iteration(params, problem.value)
            return True
        memory = self._memory(problem) if memory is None else memory.exact(problem.grad)
        for is_far_enough in self._steps(problem, memory, self.tol):
            n_iter += 1
            if after_iteration(params, problem.value):
                return False
            if is_far_enough or n_iter == self.max_iter:
                return is_far_enough
        return problem.is_lost_in_rounding()

    def _steps(self, problem: Scaled, memory: "_Memory", tol: float) -> Iterator[bool]:
        """Go down, as long as a step does: whether that is far enough, after each step."""
        little = LITTLE[problem.objective.dtype.char] if problem.objective.is_linear else NETWORK_LITTLE * self.tol
        is_far_enough = False
        while not is_far_enough:
            before = problem.value
            if not memory.search(problem):
                return
            fall, size = before - problem.value, max(abs(before), abs(problem.value), 1.0)
            is_far_enough = problem.is_good(tol) or fall <= little * size
            yield is_far_enough

    def _rough_form(self, objective: Objective) -> Objective | None:
        """F in float32, kept for the next call, too."""
        if self._rough is None or self._rough[0] is not objective:
            self._rough = objective, rough_form(objective, self.most_copied)
        rough = self._rough[1]
        if rough is not None:
            rough.alpha = objective.alpha
        return rough

    def _memory(self, problem: Scaled) -> "_Memory":
        """The one of the last call, if that was for the same objective, in these coordinates; or else a new one."""
        here, memory, moved = problem.coordinates, None, None
        if self._kept is not None and self._kept[0] is problem.objective:
            moved, memory = here.since(self._kept[1]), self._kept[2]
        if memory is not None and moved is not None:
            memory.move(*moved, problem.grad)
        else:
            memory = _Memory(problem.grad)
        self._kept = (problem.objective, here, memory) if self.keeps else None
        return memory


class _Memory:
    """The last pairs: how far a step went, and by how much it changed the gradient; see kernels/fit/lbfgs.py.

    The direction is made in the place of the next pair, and the gradient at its end beside it.
    """

    def __init__(self, grad: Array) -> None:
        self._most = next(pairs for n_bytes, pairs in PAIRS if grad.nbytes < n_bytes)
        self._rows = np.empty((2 * self._most, grad.size), grad.dtype)
        self._products, self._by_grad = np.zeros((2 * self._most,) * 2), np.zeros(2 * self._most)
        self._n_pairs, self._place = 0, 0

    def move(self, ratio: Array, ridge: Array, grad: Array) -> None:
        """Into other coordinates, with another penalty and elsewhere: see kernels.move_memory."""
        products = self._products, self._by_grad
        run(kernels.move_memory, self._rows.size, self._rows, self._n_pairs, ratio, ridge, grad, *products)
        curvatures = np.diagonal(self._products, self._most)[: self._n_pairs]
        if not (curvatures > 0).all():
            self._n_pairs = self._place = 0

    def exact(self, grad: Array) -> "_Memory":
        """The same pairs in the gradient's dtype."""
        other = copy(self)
        other._rows = self._rows.astype(grad.dtype)
        other._products, other._by_grad = self._products.copy(), self._by_grad.copy()
        n_features = 0  # all biases: nothing changes but what is multiplied
        other.move(np.ones(n_features), np.zeros(n_features), grad)
        return other

    def search(self, problem: Scaled) -> bool:
        """Go one step down, along the direction that is remembered or else along the gradient; False if none does."""
        while True:
            if self._step(problem):
                return True
            if self._n_pairs == 0:
                return False
            self._n_pairs = self._place = 0

    def _step(self, problem: Scaled) -> bool:
        here, n_pairs = self._place, min(self._n_pairs + 1, self._most)
        if problem.iterates:
            ring = here, self._n_pairs, n_pairs
            if not problem.iterate(self._rows, ring, self._products, self._by_grad):
                return False
        elif not self._step_by_calls(problem, n_pairs):
            return False
        curvature = self._products[here, self._most + here]
        if curvature > 0:
            self._n_pairs, self._place = n_pairs, (here + 1) % self._most
        elif n_pairs == self._n_pairs:  # the oldest pair is lost, and nothing came in its place
            self._n_pairs = self._place = 0
        return True

    def _step_by_calls(self, problem: Scaled, n_pairs: int) -> bool:
        """What kernels/layer/iteration.py does, where F is not that of a linear model on dense rows in memory."""
        grad, here = problem.grad, self._place
        direction, grad_there = self._rows[here], self._rows[self._most + here]
        products, newest = (self._products, self._by_grad), (here - 1) % self._most
        slope, first = run(kernels.lbfgs_direction, grad.size, self._rows, newest, self._n_pairs, grad, *products, here)
        trial = problem.search(direction, slope, first, grad_there) if slope < 0 else None
        if trial is None:
            return False
        problem.accept(trial)
        run(kernels.remember_pair, grad.size, self._rows, here, n_pairs, trial.step, grad, *products)
        return True
