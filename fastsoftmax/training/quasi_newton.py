"""lbfgs and newton-cg: scipy.optimize's, in coordinates that suit it.

They work in other coordinates than the parameters (coordinates.py), in which the Hessian at the start is about the
identity. The minimum is the same; the way to it is many times shorter where features differ in scale (wine as it comes:
25 iterations; without, 2000 are not enough) or say much the same (breast_cancer as it comes: 24 iterations and 83).
"""

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective

SLACK = 25.0
GAIN, GAIN_OF_TOL = 1e-4, 1e-2  # of F, and of tol: what may be left to gain at the end
CHECK_STEPS, CHECK_RESIDUAL = 15, 0.3  # of conjugate gradients, which tell what is left
NETWORK_FTOL = 1e-3  # of tol: a network's training by lbfgs ends when an iteration improves F by less, relatively
ENLARGED = 1e6
STUCK = (0, 2)  # by which status scipy.optimize says that it got no further (newton-cg: a step of 0, or none)


class _InCoordinates:
    """An objective as scipy.optimize sees it: of u. What was computed last is kept, because its callbacks ask again."""

    def __init__(self, objective: Objective, params: Array) -> None:
        self.coordinates, self._objective, self._dtype = Coordinates(objective), objective, params.dtype
        self._at, self._product_at = np.empty(0), np.empty(0)
        self._product: Callable[[Array], Array]
        self.params, self.value, self.grad = params, math.nan, np.empty(0)  # at self._at
        self.factor = 1.0  # of what scipy.optimize sees
        self._refused = math.inf  # the gradient's norm at which more was left to gain than may be

    def move_to(self, u: Array) -> None:
        """Compute what params, value and grad are at u."""
        if not np.array_equal(u, self._at):
            self.params = self.coordinates.params(u, self._dtype)
            self.value, grad = self._objective.value_and_grad(self.params)
            self._at, self.grad = u.copy(), self.coordinates.grad(grad)

    def value_and_grad(self, u: Array) -> tuple[float, Array]:
        """F and dF/du, times the factor."""
        self.move_to(u)
        return self.factor * self.value, self.factor * self.grad

    def hessp(self, u: Array, v: Array) -> Array:
        """H v, times the factor."""
        if not np.array_equal(u, self._product_at):
            self._product_at = u.copy()
            self._product = self._objective.hvp(self.coordinates.params(u, self._dtype))
        return self.factor * self.coordinates.grad(self._product(self.coordinates.params(v, self._dtype)))

    def is_good(self, tol: float) -> bool:
        """Whether the gradient is small enough: of a network each component, of a linear model all together.

        Half its square is about what is left to gain where the Hessian is about the identity, so that with
        |g| <= 25 tol sqrt(F) F is good to some 1e-5 of itself by the usual tol of 1e-4.
        """
        if not self._objective.is_linear:
            return bool(np.abs(self.grad).max(initial=0.0) <= tol)
        return math.sqrt(self.grad @ self.grad) <= SLACK * tol * math.sqrt(max(self.value, 0.0) + tol)

    def is_done(self, tol: float) -> bool:
        """Whether little is left to gain; if it is not, it is looked at again when the gradient has halved.

        The Hessian is far from the identity where features have values far from all others. newton-cg has a small
        gradient there long before the end; lbfgs, which goes slower, does not need to look.
        """
        if not self._objective.is_linear:
            return True
        size = math.sqrt(self.grad @ self.grad)
        if size > self._refused / 2:
            return False
        self._refused = size
        return self._left_to_gain() <= max(GAIN * self.value, GAIN_OF_TOL * tol)

    def _left_to_gain(self) -> float:
        """About F - min F of a linear model, g^T H^-1 g / 2, by conjugate gradients (Nocedal & Wright, algorithm 5.2).

        Each step adds what it finds.
        """
        residual = -self.grad
        direction, gain, squares = residual, 0.0, float(residual @ residual)
        end = CHECK_RESIDUAL**2 * squares
        for _ in range(CHECK_STEPS):
            product = self.hessp(self._at, direction) / self.factor
            curvature = float(direction @ product)
            if not (squares > 0 and curvature > 0):
                break
            step = squares / curvature
            gain += 0.5 * step * squares
            residual = residual - step * product
            squares, before = float(residual @ residual), squares
            if squares <= end:
                break
            direction = residual + squares / before * direction
        return gain


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Within it BLAS has one thread: for small vectors, more cost more than they bring (iris: 7 ms and 1).

    Their number is the whole process's. Who comes while another Python thread has set it leaves it alone: it might
    otherwise set it back to what that one has set.
    """
    if not _setting_blas.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _setting_blas.release()


_setting_blas = threading.Lock()


@functools.cache
def _blas() -> ThreadpoolController:
    """What BLAS libraries there are, once SciPy has loaded its own."""
    return ThreadpoolController().select(user_api="blas")


@dataclass
class QuasiNewton:
    """lbfgs and newton-cg: scipy.optimize's, until the gradient in u is small enough for tol.

    Attributes
    ----------
    coordinates : after a call, those that it worked in
    """

    method: str
    tol: float
    max_iter: int
    coordinates: Coordinates | None = field(default=None, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        from scipy.optimize import minimize

        with _one_blas_thread():  # of which QR and the products are, too
            problem, converged = _InCoordinates(objective, params), False
        self.coordinates = problem.coordinates
        start = problem.coordinates.back(params)

        def callback(u: Array) -> None:
            nonlocal converged
            problem.move_to(u)
            params[:] = problem.params
            converged = problem.is_good(self.tol) and (self.method == "lbfgs" or problem.is_done(self.tol))
            if after_iteration(params, problem.value) or converged:
                raise StopIteration

        problem.move_to(start)
        if not math.isfinite(problem.value) or (problem.is_good(self.tol) and problem.is_done(self.tol)):
            after_iteration(params, problem.value)
            return True
        with _one_blas_thread():
            how = self._how(objective, problem)
            result = minimize(problem.value_and_grad, start, jac=True, callback=callback, **how)
            if self.method == "newton-cg" and not converged and result.status == 0:
                # Newton-CG takes curvatures below 3e-16 for none, and so does nothing near the end: show it larger ones
                problem.factor = ENLARGED
                how["options"]["maxiter"] = max(1, self.max_iter - result.nit)
                result = minimize(problem.value_and_grad, result.x, jac=True, callback=callback, **how)
        if not math.isfinite(result.fun):
            after_iteration(params, result.fun)
        if converged or (self.method == "lbfgs" and result.success):
            return True
        # No step goes down any more: fine if what is left to gain is lost in the rounding of F
        left, eps = 0.5 * float(problem.grad @ problem.grad), float(np.finfo(params.dtype).eps)
        return result.status in STUCK and left <= 64 * eps * max(1.0, abs(problem.value))

    def _how(self, objective: Objective, problem: _InCoordinates) -> dict[str, Any]:
        """What `minimize` is told of the method."""
        if self.method == "newton-cg":
            return {"method": "Newton-CG", "hessp": problem.hessp, "options": {"maxiter": self.max_iter, "xtol": 0.0}}
        ftol = 64 * np.finfo(float).eps if objective.X.dtype == np.float64 else float(np.finfo(np.float32).eps)
        if not objective.is_linear:  # a network's valley is long: rounding would grow on its way from 1e-16 to 1e-3
            ftol = NETWORK_FTOL * self.tol
        options = {"maxiter": self.max_iter, "gtol": 0.0, "ftol": ftol, "maxls": 50, "maxfun": 2**31 - 1}
        return {"method": "L-BFGS-B", "options": options}
