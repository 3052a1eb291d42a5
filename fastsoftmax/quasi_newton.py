"""lbfgs and newton-cg: scipy.optimize's, in coordinates that suit it.

They work in other coordinates than the parameters (`Coordinates`): features standardised, and scaled so that the
Hessian at the start is about the identity. The minimum is the same; the way to it is many times shorter where features
differ in scale (wine as it comes: 25 iterations; without, 2000 are not enough).
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

from fastsoftmax import kernels
from fastsoftmax._arrays import Array
from fastsoftmax._parallel import run
from fastsoftmax.kernels.coordinates import BLOCK
from fastsoftmax.objective import Objective
from fastsoftmax.training import AfterIteration

CURVATURE = 0.25  # of a loss in its logits, times the number of classes: 1 at the start, less where it is sure
SLACK = 25.0
GAIN, GAIN_OF_TOL = 1e-4, 1e-2  # of F, and of tol: what may be left to gain at the end
CHECK_STEPS, CHECK_RESIDUAL = 15, 0.3  # of conjugate gradients, which tell what is left
WHITENED, DEPENDENT = 256, 1e-3  # features at the most, and the least eigenvalue over the largest below which it pays
SAMPLED = 8192  # rows
FAR = 1e3  # times the rounding of a feature's mean: a deviation below is far from 0
WEIGHTS = {"f": 1e30, "d": 1e280}  # the largest weight, and the inverse of the least, that lbfgs and newton-cg go to
NETWORK_FTOL = 1e-3  # of tol: a network's training by lbfgs ends when an iteration improves F by less, relatively
ENLARGED = 1e6
STUCK = (0, 2)  # by which status scipy.optimize says that it got no further (newton-cg: a step of 0, or none)


class Coordinates:
    """Other coordinates u of the parameters of a linear model, in float64; a network's are its parameters.

    W = U T diag(s), b = r u_b - W m: with m the mean and v the variance of the features, s = 1 / sqrt(h v + alpha / S)
    and r = 1 / sqrt(h), where h is of the size of the Hessian of a loss in its logits. Without biases m = 0, and
    v is the mean of squares. A feature's s depends on no other feature. One that is constant has s = 0: it is left out,
    its part being the bias's.

    With T the Hessian at the start would be the identity for features that are correlated, too: K^(-1/2) of the matrix
    K = diag(s) (h Cov + alpha / S) diag(s), whose diagonal is 1. It is made for up to WHITENED features that are nearly
    combinations of one another (of two time stamps the difference may be all that counts); else T is the identity.

    Attributes
    ----------
    out_of_range : ndarray of int
        Features that are left out though they are not constant, because the dtype could not hold their weights.
    far_from_zero : ndarray of int
        Features so far from 0, for their deviation, that rounding hides some of what they say.
    """

    def __init__(self, objective: Objective) -> None:
        self._linear = objective.is_linear
        self.out_of_range = self.far_from_zero = np.empty(0, np.intp)
        self._turn: tuple[Array, Array] | None = None  # T and its inverse
        if self._linear:
            curvature, ridge = CURVATURE / int(objective.network.sizes[1]), objective.alpha / objective.total
            weight = _row_shares(objective)
            mean, deviation = _moments(objective, weight)
            size = np.hypot(math.sqrt(curvature) * deviation, math.sqrt(ridge))
            most = WEIGHTS[objective.X.dtype.char]
            usable = (deviation > 0) & (size > 1 / most) & (size < most)
            scale = np.divide(1.0, size, out=np.zeros_like(size), where=usable)
            self.out_of_range = np.flatnonzero((deviation != 0) & ~usable)
            if mean.size:
                noise = FAR * float(np.finfo(objective.X.dtype).eps) * np.abs(mean)
                self.far_from_zero = np.flatnonzero((deviation > 0) & (noise > deviation))
            self._how = scale, mean, 1.0 / math.sqrt(curvature)
            if 1 < len(scale) <= WHITENED:
                self._turn = _whitening(objective, weight, scale, mean, curvature, ridge)

    def params(self, u: Array, dtype: Any) -> Array:
        """The parameters at u."""
        if not self._linear:
            return u.astype(dtype)
        params = np.empty(u.size, dtype)
        kernels.params_of(u if self._turn is None else self._turned(u, self._turn[0]), *self._how, params)
        return params

    def back(self, params: Array) -> Array:
        """The u of the parameters."""
        u = params.astype(np.float64)
        if self._linear:
            kernels.coordinates_of(params, *self._how, u)
        return u if self._turn is None else self._turned(u, self._turn[1])

    def grad(self, grad: Array) -> Array:
        """The gradient in u of the one in the parameters."""
        if not self._linear:
            return grad.astype(np.float64)
        out = np.empty(grad.size)
        kernels.coordinates_grad_of(grad, *self._how, out)
        return out if self._turn is None else self._turned(out, self._turn[0])

    def _turned(self, u: Array, matrix: Array) -> Array:
        """U times the matrix (which is symmetric), for U and the biases behind it."""
        n_features = len(matrix)
        n_weights = u.size // (n_features + 1) * n_features
        turned = u.copy()
        turned[:n_weights] = (u[:n_weights].reshape(-1, n_features) @ matrix).ravel()
        return turned


def _row_shares(objective: Objective) -> Array:
    """The weights of the rows, which sum to 1."""
    by_row = objective.sample_weight if objective.sample_weight.any() else np.ones(len(objective.targets))
    shares = by_row / by_row.max()  # without overflow
    return shares / shares.sum()


def _whitening(
    objective: Objective, weight: Array, scale: Array, mean: Array, curvature: float, ridge: float
) -> tuple[Array, Array] | None:
    """T and its inverse, both symmetric, or None where the features are far from combinations of one another.

    They only tell the way to the minimum, so that SAMPLED rows taken at random are enough.
    """
    n_features, rows = len(scale), np.flatnonzero(weight)
    if len(rows) > SAMPLED:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLED, replace=False))
    X = objective.X[rows]
    X = (X if isinstance(X, np.ndarray) else X.toarray()).astype(np.float64)
    if mean.size:
        X -= mean
    X *= scale
    X *= np.sqrt(curvature * weight[rows] / weight[rows].sum())[:, None]
    # Singular values of a root of K rather than K's eigenvalues: half of the digits would be lost. Below the rows
    # stands the root of what they do not have of K's diagonal, which is 1.
    rest = np.where(scale > 0, np.maximum(1.0 - (X * X).sum(axis=0), ridge * scale * scale), 1.0)
    root = np.linalg.qr(np.vstack([X, np.diag(np.sqrt(rest))]), mode="r")
    _, values, vectors = np.linalg.svd(root)
    # a direction that rounding hides from weights of the dtype stays as it is
    hidden = values < 100 * n_features * np.finfo(objective.X.dtype).eps * values[0]
    if hidden.all() or not (values[~hidden][-1] ** 2 <= DEPENDENT * values[0] ** 2):
        return None
    values = np.where(hidden, 1.0, values)
    return (vectors.T / values) @ vectors, (vectors.T * values) @ vectors


def _moments(objective: Objective, weight: Array) -> tuple[Array, Array]:
    """Mean (empty: 0) of each feature and its standard deviation about that, over all rows by weight, float64.

    The deviation is 0 for a constant feature only (without biases: one of zeros), however small or large it is: its
    squares are taken in units of the feature's own size.
    """
    X, n_features = objective.rows, int(objective.network.sizes[0])
    is_sparse = isinstance(X, tuple)
    blocks = 1 if is_sparse else max(1, -(-len(weight) // BLOCK))
    sums, least, most = (np.empty((blocks, n_features)) for _ in range(3))
    absent = np.zeros(n_features, np.bool_)
    if is_sparse:
        present = np.empty(n_features, np.int64)
        kernels.csr_feature_sums(X, weight, sums[0], least[0], most[0], present)
        absent = present < np.count_nonzero(weight)
    else:
        run(kernels.feature_sums, X.size, X, weight, sums, least, most)
    low, high = least.min(axis=0), most.max(axis=0)
    low[absent], high[absent] = np.minimum(low[absent], 0.0), np.maximum(high[absent], 0.0)
    mean = np.where(low == high, low, sums.sum(axis=0)) if objective.fit_intercept else np.zeros(n_features)
    reach = np.maximum(high / 2 - mean / 2, mean / 2 - low / 2)
    unit = np.ldexp(1.0, np.clip(np.frexp(reach)[1], -1000, 1000))
    if is_sparse:
        kernels.csr_feature_squares(X, weight, mean, 1.0 / unit, absent, sums[0])
    else:
        run(kernels.feature_squares, X.size, X, weight, mean, 1.0 / unit, sums)
    return mean if objective.fit_intercept else np.empty(0), np.sqrt(sums.sum(axis=0)) * unit


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
