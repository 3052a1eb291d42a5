"""F of a linear model with L1, L2 or both, by passes over the rows alone: its smooth part, and its duality gap.

    F = 1/S (sum_n a_n loss_n + l2/2 |W|^2 + l1 |W|_1)

What duality.py says of the gap holds here, too; but biases are not balanced by Newton's method, which would take passes
of its own. The feasible point moves mass from classes that have too much, over all rows, to those that have too little:

    u_n = q M^T p_n + (1 - q) t_n        M = I - diag(e / P) + (e / P) f^T        P = sum_n a_n p_n

where e is what P has too much beside sum_n a_n t_n, and f, which sums to 1, goes like what it has too little. Then
sum_n a_n (u_n - t_n) = 0, and X^T r follows from the gradients at p and at 1 / C: only the entropies of the u_n take a
pass. Whether that pass is worth it is told by what is known without one: where M = I, the entropies sum to
sum_n a_n loss_n - <gradient, (W, b)>, and as q falls below 1 they grow by no more than their slope there says.
"""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.duality import entropies, targets_of, weighted_sum, without_choice
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.parts import Part, Sums, rows_between
from fastsoftmax.training.tasks import Terms

SLICE = 2**18  # probabilities that are in memory at a time


class Point(NamedTuple):
    """Weights, and F there.

    Attributes
    ----------
    u : float64 (P,), in coordinates
    params : what they are, in the dtype of the data
    value : F
    grad : float64 (P,), of the mean loss, in u
    """

    u: Array
    params: Array
    value: float
    grad: Array


class Composite:
    """An objective with L1 as a function of u: see Coordinates, of which features' directions stay apart.

    Attributes
    ----------
    l1, l2 : float64 (P,), strengths of the penalty of each u_j; 0 for biases
    start : the Point that the parameters are
    """

    def __init__(self, objective: Objective, params: Array) -> None:
        self.coordinates, self._objective = Coordinates(objective, whitens=False), objective
        self._scale, _, self._bias_scale = self.coordinates.scaling
        self.pins_first_class = objective.pins_first_class
        n_features, self._n_classes = map(int, objective.network.sizes)
        self._n_weights = n_features * self._n_classes
        scale = np.append(np.tile(self._scale, self._n_classes), np.zeros(self._n_classes))
        self._l1, self._l2 = objective.l1 / objective.total, objective.alpha / objective.total
        self.l1, self.l2 = self._l1 * scale, self._l2 * scale * scale
        self.coordinates.leave_out(params)
        self.start = self.at(self.coordinates.unwhitened(params))

    def at(self, u: Array) -> Point:
        """Evaluate F: a pass over the rows."""
        params = self.coordinates.params(u, np.empty(u.size, self._objective.dtype))
        value, raw = self._objective.value_and_grad(params)
        grad = self.coordinates.grad(raw.astype(np.float64), np.empty(u.size))
        value += weighted_sum(self.l1, np.abs(u))  # the objective has the L2 part already
        return Point(u, params, value, grad - self.l2 * u)

    def penalty(self, u: Array) -> float:
        """Its part of F."""
        return weighted_sum(self.l1, np.abs(u)) + 0.5 * weighted_sum(self.l2, u * u)

    def among_classes(self, u: Array) -> Array:
        """Less the mean over the classes of what each feature has: what the loss depends on."""
        if self.pins_first_class:
            return u
        weight, bias = self.split(u)
        return np.concatenate([(weight - weight.mean(axis=0)).ravel(), bias - bias.mean()])

    def write(self, point: Point, params: Array) -> None:
        """The parameters at a point: those of several that are as good, in which nothing is left to choose."""
        u, ((_, bias),) = point.u.copy(), self._objective.network.layers(params)
        has_choice = not self.pins_first_class and self._n_classes % 2 == 0 and self._l2 == 0
        if has_choice:
            weight, _ = self.split(u)
            weight[:] = without_choice(weight)  # of a feature all have one scale
        self.coordinates.params(u, params)
        if not self.pins_first_class:
            bias -= bias.mean()

    def split(self, u: Array) -> tuple[Array, Array]:
        """The weights (C, D) and the biases (C,) among them."""
        return u[: self._n_weights].reshape(self._n_classes, -1), u[self._n_weights :]

    def _slopes(self, grad: Array) -> tuple[Array, Array]:
        """Of the mean loss, in the weights (C, D) for features about their means, and in the biases (C,).

        Those of the first of two classes are what they would be if it were free.
        """
        by_weight, by_bias = self.split(grad)
        slopes = np.divide(by_weight, self._scale, out=np.zeros_like(by_weight), where=self._scale > 0)
        balance = by_bias / self._bias_scale
        if self.pins_first_class:
            slopes[0], balance[0] = -slopes[1], -balance[1]
        return slopes, balance

    def least_gap(self, point: Point) -> float:
        """What the gap is at the least, but for what moving mass does to entropies: without a pass.

        The entropies of mixtures lie below their tangent at q = 1, and are more than the mixed entropies by no more
        than that of (q, 1 - q).
        """
        slopes, _ = self._feasible(point)
        loss, along = point.value - self.penalty(point.u), weighted_sum(point.grad, point.u)
        of_targets = self._known[2]

        def dual(q: float) -> float:
            mixed = q * (loss - along) + (1.0 - q) * of_targets + float(entropies(np.array([[q], [1.0 - q]]))[0])
            return min(loss - q * along, mixed) - self._conjugate(slopes, q)

        return point.value - max(map(dual, self._mixtures(slopes)))

    def _mixtures(self, slopes: Array) -> set[float]:
        """The q that are tried: one of them is feasible where there is no L2."""
        largest = float(np.abs(self._free(slopes)).max(initial=0.0))
        return {1.0, min(1.0, self._l1 / largest) if largest > 0 else 1.0}

    def _free(self, slopes: Array) -> Array:
        return slopes[1:] if self.pins_first_class else slopes

    def _conjugate(self, slopes: Array, q: float) -> float:
        """g* over S, infinite where q is not feasible."""
        excess = np.abs(self._free(slopes)) * q - self._l1
        if self._l2 > 0:
            return float(np.square(np.maximum(excess, 0.0)).sum()) / (2 * self._l2)
        return 0.0 if excess.max(initial=0.0) <= 1e-14 * self._l1 else math.inf  # where it is NaN, too

    def bound(self, point: Point) -> float:
        """What F is at the least anywhere, by the dual: a pass over the rows."""
        (slopes, moves), best, terms = self._feasible(point), -math.inf, self._objective.terms
        for q in self._mixtures(slopes):
            conjugate = self._conjugate(slopes, q)
            if conjugate < math.inf:
                (total,) = self._objective.parts.fold(dual_entropy, terms, point.params, *moves, q)
                best = max(best, float(total) / self._objective.total - conjugate)
        return best

    def _feasible(self, point: Point) -> tuple[Array, tuple[Array, Array]]:
        """The slopes at M^T p_n, and e / P and f."""
        slopes, balance = self._slopes(point.grad)
        none = np.zeros(self._n_classes)
        if not (self._objective.fit_intercept and balance.any()):
            return slopes, (none, none)
        at_uniform, totals, _ = self._known
        probs, excess, lack = totals + balance, np.maximum(balance, 0.0), np.maximum(-balance, 0.0)
        given = np.divide(excess, probs, out=np.zeros_like(excess), where=probs > 0)
        taken = np.divide(lack, lack.sum(), out=np.zeros_like(lack), where=lack > 0)
        moved = given[:, None] * (slopes - at_uniform)  # of sum_n a_n p_n x_n, over S
        return slopes - moved + taken[:, None] * moved.sum(axis=0), (given, taken)

    @cached_property
    def _known(self) -> tuple[Array, Array, float]:
        """Over S: the slopes where all probabilities are 1 / C, which are those of -sum_n a_n t_n x_n; sum_n a_n t_n;
        and the entropies of the t_n.
        """
        objective, zero = self._objective, np.zeros(self.l1.size)
        grad = self.start.grad if not self.start.u.any() else self.at(zero).grad
        totals, of_targets = objective.parts.fold(target_sums, objective.terms, with_X=False)
        return self._slopes(grad)[0], totals / objective.total, float(of_targets) / objective.total


def target_sums(part: Part, terms: Terms) -> Sums:
    """sum_n a_n t_n, and the entropies of the t_n by a_n."""
    n_classes = int(terms.network.sizes[-1])
    row_weight, targets = targets_of(part.by_kind, part.sample_weight, n_classes, terms.label_smoothing)
    return np.einsum("cn,n->c", targets, row_weight), weighted_sum(row_weight, entropies(targets))


def dual_entropy(part: Part, terms: Terms, params: Array, given: Array, taken: Array, q: float) -> Sums:
    """The sum of the entropies of u_n by a_n. given, taken: of each class e / P and f."""
    ((weight, bias),), n_rows = terms.network.layers(params), part.losses.size
    total, rows_at_a_time = 0.0, max(1, SLICE // len(weight))
    for first in range(0, n_rows, rows_at_a_time):
        last = min(first + rows_at_a_time, n_rows)
        rows, here = rows_between(part.rows, first, last), slice(first, last)
        by_kind = part.by_kind[0][here], part.by_kind[1][here]
        row_weight, targets = targets_of(by_kind, part.sample_weight[here], len(weight), terms.label_smoothing)
        probs = np.empty((last - first, len(weight)), params.dtype)
        run(kernels.dense_rows, probs.size * weight.shape[1] // 8, rows, weight, bias, probs)
        run(kernels.softmax_rows, probs.size, probs, None, probs)
        moved = probs.T.astype(np.float64)
        lost = given[:, None] * moved
        moved += taken[:, None] * lost.sum(axis=0) - lost
        total += weighted_sum(row_weight, entropies(q * moved + (1.0 - q) * targets))
    return (total,)
