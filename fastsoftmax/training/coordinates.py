"""Coordinates of a linear model's parameters in which its Hessian is about the identity, from how features are spread.

`Coordinates` leads there and back; kernels/fit/coordinates.py has the loops. Whatever unit a feature has, and
however far from 0, it counts as much as the others.
"""

import math
from copy import copy

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.spread import DEPENDENT, Spread, is_dependent

CURVATURE = 0.25  # of a loss in its logits, times the number of classes: 1 at the start, less where it is sure
WHITENED = 256  # features at the most
LOOKED_AT, LOOKED_AT_BY_FEATURE, SAMPLED = 256, 4, 8192  # rows that tell whether, and how, features are dependent
HIDDEN = 100  # times the rounding of the weights' dtype: a direction of less than that is not made longer
FAR = 1e3  # times the rounding of a feature's mean: a deviation below is far from 0
WEIGHTS = {"f": 1e30, "d": 1e280}  # the largest weight, and the inverse of the least, of each dtype


class Coordinates:
    """Other coordinates u of the parameters of a linear model; a network's are its parameters.

    W = U T diag(s), b = r u_b - W m: with m the mean and v the variance of the features, s = 1 / sqrt(h v + alpha / S)
    and r = 1 / sqrt(h), where h is of the size of the Hessian of a loss in its logits. Without biases m = 0, and
    v is the mean of squares. A feature's s depends on no other feature. One that is constant has s = 0: it is left out,
    its part being the bias's.

    With T the Hessian at the start would be the identity for features that are correlated, too: K^(-1/2) of the matrix
    K = diag(s) (h Cov + alpha / S) diag(s), whose diagonal is 1. It is made for up to WHITENED features that are nearly
    combinations of one another (of two time stamps the difference may be all that counts); else T is the identity.

    Attributes
    ----------
    dtype : of vectors in u: that of the parameters, or float64 where T is not the identity
    out_of_range : ndarray of int
        Features that are left out though they are not constant, because the dtype could not hold their weights.
    far_from_zero : ndarray of int
        Features so far from 0, for their deviation, that rounding hides some of what they say.
    """

    def __init__(self, objective: Objective, whitens: bool = True) -> None:
        self._linear = objective.is_linear
        self.out_of_range = self.far_from_zero = np.empty(0, np.intp)
        self._whitener: Array | None = None  # T
        if self._linear:
            n_features, n_classes = map(int, objective.network.sizes)
            curvature, ridge = CURVATURE / n_classes, objective.alpha / objective.total
            self._ridge = ridge
            most = max(LOOKED_AT, LOOKED_AT_BY_FEATURE * n_features) if whitens and 1 < n_features <= WHITENED else 0
            spread = objective.spread(most)
            mean, deviation = spread.mean, spread.deviation
            size = np.hypot(math.sqrt(curvature) * deviation, math.sqrt(ridge))
            largest = WEIGHTS[objective.dtype.char]
            usable = (deviation > 0) & (size > 1 / largest) & (size < largest)
            scale = np.divide(1.0, size, out=np.zeros_like(size), where=usable)
            self.out_of_range = np.flatnonzero((deviation != 0) & ~usable)
            if mean.size:
                noise = FAR * float(np.finfo(objective.dtype).eps) * np.abs(mean)
                self.far_from_zero = np.flatnonzero((deviation > 0) & (noise > deviation))
            self._how = scale, mean, 1.0 / math.sqrt(curvature)
            if most:
                self._whitener = _whitening(objective, spread, scale, curvature, ridge)
        self.dtype = np.dtype(np.float64) if self._whitener is not None else objective.dtype

    @property
    def scaling(self) -> tuple[Array, Array, float]:
        """s, m (empty: 0) and r of a linear model."""
        return self._how

    @property
    def whitens(self) -> bool:
        """Whether T is not the identity."""
        return self._whitener is not None

    def rounded(self) -> "Coordinates":
        """The same for parameters of float32."""
        rounded = copy(self)
        rounded.dtype = np.dtype(np.float32)
        return rounded

    def params(self, u: Array, out: Array) -> Array:
        """The parameters at u: a linear map, which takes a direction, too. out is another array."""
        if self._linear:
            run(kernels.params_of, u.size, self._whitened(u), *self._how, out)
        else:
            out[:] = u
        return out

    def grad(self, grad: Array, out: Array) -> Array:
        """The gradient in u of the one in the parameters. out may be grad."""
        if self._linear:
            run(kernels.coordinates_grad_of, grad.size, grad, *self._how, out)
            if self._whitener is not None:
                out[:] = self._whitened(out)
        elif out is not grad:
            out[:] = grad
        return out

    def since(self, before: "Coordinates") -> tuple[Array, Array] | None:
        """What became of an objective's coordinates as its alpha changed, for kernels.move_memory; None: too much.

        By how much longer a step along each feature is in these, and by how much more its slope grows along it.
        """
        if not self._linear or self._whitener is not None or before._whitener is not None:
            return None
        scale, scale_before = self._how[0], before._how[0]
        if ((scale == 0) != (scale_before == 0)).any():
            return None
        ratio = np.divide(scale_before, scale, out=np.ones_like(scale), where=scale > 0)
        return ratio, (self._ridge - before._ridge) * scale * scale

    def leave_out(self, params: Array) -> None:
        """Take the weights of features that are left out from the parameters; the biases do what they did."""
        if self._linear and not self._how[0].all():
            n_features = len(self._how[0])
            n_classes = params.size // (n_features + 1)
            if params[: n_classes * n_features].reshape(n_classes, n_features)[:, self._how[0] == 0].any():
                u = self.unwhitened(params)
                run(kernels.params_of, u.size, u, *self._how, params)

    def unwhitened(self, params: Array) -> Array:
        """The u of the parameters of a linear model where T is the identity."""
        u = np.empty(params.size)
        kernels.coordinates_of(params, *self._how, u)
        return u

    def _whitened(self, u: Array) -> Array:
        """(U T, u_b): T is symmetric."""
        if self._whitener is None:
            return u
        n_features = len(self._whitener)
        n_weights = u.size // (n_features + 1) * n_features
        result = u.copy()
        result[:n_weights] = (u[:n_weights].reshape(-1, n_features) @ self._whitener).ravel()
        return result


def _whitening(objective: Objective, spread: Spread, scale: Array, curvature: float, ridge: float) -> Array | None:
    """T, or None where the features are far from combinations of one another, which some rows tell already."""
    if not spread.is_dependent:  # then K, which is nearer to the identity, is not, either
        return None
    by_feature = math.sqrt(curvature) * scale * spread.deviation  # K = diag(by_feature) correlations diag(by_feature)
    least = ridge * scale * scale
    K = by_feature[:, None] * spread.correlations * by_feature
    if not is_dependent(K, _rest(np.diagonal(K), scale, least)):
        return None
    X = by_feature * spread.standardised(SAMPLED)
    rest = _rest(np.einsum("nd,nd->d", X, X), scale, least)
    # singular values of a root of K, because half of the digits of its eigenvalues are lost
    root = np.linalg.qr(np.vstack([X, np.diag(np.sqrt(rest))]), mode="r")
    _, values, vectors = np.linalg.svd(root)
    # a direction that rounding hides from weights of the dtype stays as it is
    hidden = values < HIDDEN * len(scale) * np.finfo(objective.dtype).eps * values[0]
    if hidden.all() or not (values[~hidden][-1] ** 2 <= DEPENDENT * values[0] ** 2):
        return None
    values = np.where(hidden, 1.0, values)
    whitener: Array = (vectors.T / values) @ vectors
    return whitener


def _rest(squares: Array, scale: Array, least: Array) -> Array:
    """What some rows' squares lack of K's diagonal, which is 1; at least what the penalty adds to it."""
    return np.where(scale > 0, np.maximum(1.0 - squares, least), 1.0)
