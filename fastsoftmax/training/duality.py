"""F of a linear model with L1, L2 or both, its gradient, and its duality gap.

    F = 1/S (sum_n a_n (logsumexp(z_n) - t_n z_n) + l1 |W|_1 + l2/2 |W|^2)        z_n = W x_n + b,  t_n a distribution

The gap is F - D at a feasible point of the dual, so that F is above its minimum by no more (Ndiaye et al. 2017, "Gap
Safe screening rules for sparsity enforcing penalties", section 2 and table 1). With r_n = a_n (p_n - t_n),

    D(q) = -1/S (sum_n a_n sum_c u_nc log u_nc + g*(q X^T r))        u = q p + (1 - q) t
    g*(v) = sum_j max(0, |v_j| - l1)^2 / (2 l2),  or without l2:  0 where all |v_j| <= l1, else infinity

for any q in [0, 1]; the better of q = 1 and the largest q with q |X^T r|_inf <= l1 is taken. That a bias is free asks
for sum_n r_n = 0, which Newton's method in the biases alone sees to before each gap.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.columns import Columns

SUFFICIENT, HALVINGS = 1e-4, 40  # Armijo's constant; steps that are tried
BIAS_STEPS, BALANCED, USABLE = 30, 1e-12, 1e-8  # of Newton's method in the biases: sums of r over sum of a


class Given(NamedTuple):
    """What does not change with the weights.

    Attributes
    ----------
    columns : X by features, and ones
    row_weight : ndarray (N,), the a_n
    targets : ndarray (C, N), distributions
    """

    columns: Columns
    row_weight: Array
    targets: Array


class Penalised:
    """Weights and what depends on them; in sums over rows, and with features of a dense X about their means.

    The bias, which makes up for a mean, is the weight of a last feature of ones. Of two classes only the second has
    weights.

    Attributes
    ----------
    weight : ndarray (C, D + 1)
    columns : X by features, and ones
    row_weight : ndarray (N,), the a_n
    logits, probs : ndarray (C, N)
    cotangent : ndarray (C, N), a_n (p_cn - t_cn): dL/dlogits
    loss : the first sum in F
    value : F
    grad : ndarray (C, D + 1), of the loss at the last `evaluate`
    """

    grad: Array
    value: float

    def __init__(self, objective: ArrayObjective, params: Array, given: Given) -> None:
        self._objective, self._first = objective, int(objective.pins_first_class)
        ((weight, bias),) = objective.network.layers(params)
        self.columns, self.row_weight, self._all_targets = given
        self.targets = self._all_targets[self._first :]
        self.l1, self.l2, self.has_bias = objective.l1, objective.alpha, objective.fit_intercept
        self.weight = np.hstack([weight[self._first :], bias[self._first :, None]]).astype(np.float64)
        if self.columns.mean is not None:
            self.weight[:, -1] += self.weight[:, :-1] @ self.columns.mean
        self.logits = np.zeros((len(self.weight), len(self.row_weight)))
        classes, features = np.nonzero(self.weight)
        steps = self.weight[classes, features]
        self.columns.add(self.columns.select(features, classes), steps, self.logits)
        self._norm = self.penalty(self.weight[:, :-1], self.l1, self.l2)
        self._bound = -math.inf
        self.probs, self.cotangent, self.loss = self.at(self.logits)

    @property
    def gap(self) -> float:
        """F less the largest bound from below that an `evaluate` has found."""
        return max(0.0, self.value - self._bound)

    def at(self, logits: Array) -> tuple[Array, Array, float]:
        """Probabilities of the classes that have weights, the loss's slopes along logits, and the sum of the losses."""
        probs, cotangent = np.empty_like(logits), np.empty_like(logits)
        given = logits, self.targets, self.row_weight, self._first
        return probs, cotangent, float(run(kernels.softmax_by_class, logits.size, *given, probs, cotangent))

    @staticmethod
    def penalty(weight: Array, l1: Any, l2: Any) -> float:
        """The penalty of some weights."""
        return float((l1 * np.abs(weight)).sum() + (0.5 * l2 * weight * weight).sum())

    def move(self, at: Any, weights: Array, logits: Array, there: tuple[Array, Array, float], penalty: float) -> None:
        """Stand at new weights of some coordinates. there: `at` the logits; penalty: by how much it has grown."""
        self.weight[at], self.logits, (self.probs, self.cotangent, self.loss) = weights, logits, there
        self._norm += penalty
        self.value = (self.loss + self._norm) / self._objective.total

    def evaluate(self) -> None:
        """Balance the biases; then F, its gradient, and the gap."""
        unbalanced = self._balance() if self.has_bias else 0.0
        self.grad = self._gradient(self.cotangent)
        self._norm = self.penalty(self.weight[:, :-1], self.l1, self.l2)
        self.value = (self.loss + self._norm) / self._objective.total
        if unbalanced <= USABLE * self.row_weight.sum():
            self._bound = max(self._bound, self._dual())

    def _balance(self) -> float:
        """Newton's method in the biases: the largest sum of r over rows that is left."""
        enough, rounded = BALANCED * self.row_weight.sum(), USABLE * self.row_weight.sum()
        slope = self.cotangent.sum(axis=1)
        for _ in range(BIAS_STEPS):
            before = np.abs(slope).max()
            if not enough < before < math.inf or not self._step_in_biases(slope):
                break
            slope = self.cotangent.sum(axis=1)
            if before / 2 < np.abs(slope).max() and before <= rounded:
                break
        return float(np.abs(slope).max())

    def _step_in_biases(self, slope: Array) -> bool:
        probs, weighted = self.probs, self.row_weight * self.probs
        among = np.empty((len(probs), len(probs)))
        run(kernels.dense_rows, probs.size, probs, weighted, np.zeros(len(probs)), among)
        hessian = np.diag(weighted.sum(axis=1)) - among
        step = -np.linalg.lstsq(hessian, slope, rcond=1e-13)[0]
        step *= min(1.0, 10.0 / max(np.abs(step).max(), 1e-300))
        for _ in range(HALVINGS):
            logits = self.logits + step[:, None]
            there = self.at(logits)
            if there[-1] <= self.loss + SUFFICIENT * float(slope @ step) + 1e-15 * abs(self.loss):
                self.weight[:, -1] += step
                self.logits, (self.probs, self.cotangent, self.loss) = logits, there
                return True
            step = step / 2
        return False

    def _gradient(self, residual: Array) -> Array:
        """Of the loss in the weights, (C, D + 1)."""
        if not self.columns.is_sparse:
            columns, no_bias = self.columns.data, np.zeros(len(residual))
            out = np.empty((len(columns), len(residual)))
            run(kernels.dense_rows, columns.size, columns, residual, no_bias, out)
            return np.ascontiguousarray(out.T)
        return self.columns.gradient(residual)

    def _dual(self) -> float:
        """The better of both feasible points, over S."""
        slopes = np.abs(self.grad[:, :-1])
        largest, best = float(slopes.max(initial=0.0)), -math.inf
        probs = self.probs if not self._first else np.vstack([1.0 - self.probs.sum(axis=0), self.probs])
        for q in {1.0, min(1.0, self.l1 / largest) if largest > 0 else 1.0}:
            if self.l2 == 0.0 and not largest * q <= self.l1 * (1 + 1e-14):  # NaN is no bound, either
                continue
            conjugate = 0.0
            if self.l2 > 0:
                excess = np.maximum(q * slopes - self.l1, 0.0)
                conjugate = float((excess * excess).sum()) / (2 * self.l2)
            mixed = entropies(q * probs + (1.0 - q) * self._all_targets)
            best = max(best, weighted_sum(self.row_weight, mixed) - conjugate)
        return best / self._objective.total

    def write(self, params: Array) -> None:
        """The weights, and biases for features as they come, whose sum is 0 where it is free."""
        ((weight, bias),) = self._objective.network.layers(params)
        weights, mean = self.weight[:, :-1], self.columns.mean
        if self.l2 == 0 and len(weights) % 2 == 0:
            weights = without_choice(weights)
        weight[self._first :] = weights
        if self.has_bias:
            biases = self.weight[:, -1] - (0.0 if mean is None else weights @ mean)
            bias[self._first :] = biases - (0.0 if self._first else biases.mean())


def given_by(objective: ArrayObjective) -> Given:
    """X by features, for the weights of the rows, and their targets."""
    n_features, n_classes = map(int, objective.network.sizes)
    smoothing = objective.label_smoothing
    row_weight, targets = targets_of(objective.by_kind, objective.sample_weight, n_classes, smoothing)
    return Given(Columns(objective.rows, n_features, row_weight, objective.fit_intercept), row_weight, targets)


def weighted_sum(weights: Array, values: Array) -> float:
    """sum_n a_n x_n, by our own kernel: threads of a BLAS wait for one another where cores are few."""
    return float(run(kernels.vector_product, weights.size, weights, np.ascontiguousarray(values)))


def without_choice(weight: Array) -> Array:
    """Weights of the same penalty and logits up to a constant, in which nothing is left to choose.

    With L1 alone and an even number of classes, a change of all weights of a feature by as much changes nothing while
    no more are above 0 than below or 0, and the other way round: then the sum of squares is made as small as that
    allows, which is the limit of the elastic net as L1 takes over.
    """
    low, high = np.sort(weight, axis=0)[len(weight) // 2 - 1 : len(weight) // 2 + 1]
    return weight - np.where((low <= 0) & (high >= 0), np.clip(weight.mean(axis=0), low, high), 0.0)


def entropies(probs: Array) -> Array:
    """-sum_c p log p of each column, 0 log 0 being 0."""
    found: Array = -(probs * np.log(np.where(probs > 0, probs, 1.0))).sum(axis=0)
    return found


def targets_of(
    by_kind: tuple[Array, Array], sample_weight: Array, n_classes: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The weights a of the rows, and their targets as distributions (C, N): a target's mass goes into its weight."""
    labels, distribution = by_kind
    n_rows = max(len(labels), len(distribution))
    targets = np.full((n_classes, n_rows), label_smoothing / n_classes)
    if len(labels):
        targets[labels, np.arange(n_rows)] += 1.0 - label_smoothing
    else:
        targets += (1.0 - label_smoothing) * distribution.T
    mass = targets.sum(axis=0)
    row_weight = mass * sample_weight if sample_weight.size else mass
    return row_weight, targets / np.where(mass > 0, mass, 1.0)
