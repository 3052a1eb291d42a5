"""coordinate-descent: proximal Newton for a linear model with L1, L2 or both, until the duality gap is small.

    F = 1/S (sum_n a_n (logsumexp(z_n) - t_n z_n) + l1 |W|_1 + l2/2 |W|^2)        z_n = W x_n + b,  t_n a distribution

Each iteration minimises the quadratic model of the loss plus the penalty over a working set of weights by coordinate
descent (kernels/fit/coordinate_descent.py), and goes there as far as F falls (Armijo's rule for composite functions:
Tseng & Yun 2009; Lee, Sun & Saunders 2014): it ends at the minimum from any start. In the working set are the weights
that are not 0 and those that violate the conditions of the minimum most, by one gradient of all.

The gap is F - D at a feasible point of the dual, so that F is above its minimum by no more (Ndiaye et al. 2017, "Gap
Safe screening rules for sparsity enforcing penalties", section 2 and table 1). With r_n = a_n (p_n - t_n),

    D(q) = -1/S (sum_n a_n sum_c u_nc log u_nc + g*(q X^T r))        u = q p + (1 - q) t
    g*(v) = sum_j max(0, |v_j| - l1)^2 / (2 l2),  or without l2:  0 where all |v_j| <= l1, else infinity

for any q in [0, 1]; the better of q = 1 and the largest q with q |X^T r|_inf <= l1 is taken. That a bias is free asks
for sum_n r_n = 0, which Newton's method in the biases alone sees to before each gap.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import Objective

LEAST_SET, GROWTH = 4096, 2  # coordinates of a working set, and times those that are not 0, at the most
PRECISION, SWEEPS = 0.1, 200  # of the model's minimum, relative to the violation that it began with; sweeps at the most
SUFFICIENT, HALVINGS = 1e-4, 40  # Armijo's constant; steps that are tried
BIAS_STEPS, BALANCED, USABLE = 30, 1e-12, 1e-8  # of Newton's method in the biases: sums of r over sum of a


@dataclass
class ProximalNewton:
    """coordinate-descent, until the gap is at most tol (F + tol).

    Attributes
    ----------
    dual_gap : of F after a call, or after its last iteration
    """

    tol: float
    max_iter: int
    dual_gap: float = field(default=math.inf, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        model = _Model(objective, params)
        if self._is_done(model):
            model.write(params)
            after_iteration(params, model.value)
            return True
        for _ in range(self.max_iter):
            if not model.step():
                return False
            done = self._is_done(model)
            model.write(params)
            if after_iteration(params, model.value) or done:
                return done
        return False

    def _is_done(self, model: "_Model") -> bool:
        model.evaluate()
        self.dual_gap = model.gap
        return model.gap <= self.tol * (model.value + self.tol)


class _Model:
    """Weights, logits and everything that depends on them; in sums over rows, and with features about their means.

    A feature of a dense X is centred, which the bias makes up for: else both would creep (wine as it comes). Of two
    classes only the second has weights. The bias is the weight of a last feature of ones.
    """

    def __init__(self, objective: Objective, params: Array) -> None:
        self._objective, self._first = objective, int(objective.pins_first_class)
        ((weight, bias),) = objective.network.layers(params)
        self.weight = np.hstack([weight[self._first :], bias[self._first :, None]]).astype(np.float64)
        self.share, targets = _targets(objective)
        self.columns, self.mean = _columns(objective, self.share)
        self.weight[:, -1] += self.weight[:, :-1] @ self.mean
        self.targets = targets[self._first :]
        self._all_targets = targets
        self.l1, self.l2 = objective.l1, objective.alpha
        self.logits = self._logits(weight, bias)
        self.value = self.gap = math.inf

    def _logits(self, weight: Array, bias: Array) -> Array:
        """(C, N)."""
        out = np.zeros((len(self.weight), len(self.share)))
        if self.weight.any():
            if isinstance(self.columns, tuple):
                rows = np.empty((out.shape[1], len(out)), weight.dtype)
                some = np.ascontiguousarray(weight[self._first :]), np.ascontiguousarray(bias[self._first :])
                run(kernels.dense_rows, self._objective._work, self._objective.rows, *some, rows)
                out[:] = rows.T
            else:
                self._by_columns(np.ascontiguousarray(self.weight.T), out)
        return out

    def _by_columns(self, cotangent: Array, out: Array) -> None:
        none, like = np.empty((0, 0)), np.zeros_like(out)
        run(kernels.dense_vjp_rows, self.columns.size, self.columns, like, cotangent, out, none.ravel(), none)

    def _probs(self, logits: Array) -> tuple[Array, float]:
        """Probabilities of the classes that have weights, and the sum of the losses."""
        top = np.maximum(logits.max(axis=0), 0.0) if self._first else logits.max(axis=0)
        probs = np.exp(logits - top)
        total = probs.sum(axis=0) + (np.exp(-top) if self._first else 0.0)
        probs /= total
        losses = top + np.log(total) - (self.targets * logits).sum(axis=0)
        return probs, float(self.share @ losses)

    def _penalty(self, weight: Array, l1: Any, l2: Any) -> float:
        return float((l1 * np.abs(weight)).sum() + (0.5 * l2 * weight * weight).sum())

    def evaluate(self) -> None:
        """Balance the biases; then F, its gradient, and the gap."""
        self.probs, loss = self._probs(self.logits)
        unbalanced = 0.0
        if self._objective.fit_intercept:
            loss, unbalanced = self._balance(loss)
        self.loss = loss
        residual = self.share * (self.probs - self.targets)
        self.grad = self._gradient(residual)
        weight = self.weight[:, :-1]
        self.value = (loss + self._penalty(weight, self.l1, self.l2)) / self._objective.total
        usable = unbalanced <= USABLE * self.share.sum()
        self.gap = max(0.0, self.value - self._dual()) if usable else math.inf

    def _balance(self, loss: float) -> tuple[float, float]:
        """Newton's method in the biases: the loss, and the largest sum of r over rows that is left."""
        enough = BALANCED * self.share.sum()
        slope = (self.share * (self.probs - self.targets)).sum(axis=1)
        for _ in range(BIAS_STEPS):
            if np.abs(slope).max() <= enough:
                break
            weighted = self.share * self.probs
            hessian = np.diag(weighted.sum(axis=1)) - np.einsum("cn,dn->cd", weighted, self.probs)
            step = -np.linalg.lstsq(hessian, slope, rcond=1e-13)[0]
            step *= min(1.0, 10.0 / max(np.abs(step).max(), 1e-300))
            for _ in range(HALVINGS):
                probs, trial = self._probs(self.logits + step[:, None])
                if trial <= loss + SUFFICIENT * float(slope @ step) + 1e-15 * abs(loss):
                    break
                step = step / 2
            else:
                break
            before = np.abs(slope).max()
            self.weight[:, -1] += step
            self.logits += step[:, None]
            self.probs, loss = probs, trial
            slope = (self.share * (self.probs - self.targets)).sum(axis=1)
            if np.abs(slope).max() > before / 2 and before <= USABLE * self.share.sum():
                break  # rounding
        return loss, float(np.abs(slope).max())

    def _gradient(self, residual: Array) -> Array:
        """Of the loss in the weights, (C, D + 1)."""
        if not isinstance(self.columns, tuple):
            out = np.empty((len(self.columns), len(residual)))
            run(kernels.dense_rows, self.columns.size, self.columns, residual, np.zeros(len(residual)), out)
            return np.ascontiguousarray(out.T)
        dtype, (n_classes, n_columns) = self._objective.X.dtype, self.weight.shape
        rows = np.ascontiguousarray(residual.T, dtype)
        weight, bias = np.zeros((n_classes, n_columns - 1), dtype), np.zeros(n_classes, dtype)
        run(kernels.dense_vjp_rows, self._objective._work, self._objective.rows, weight, rows, weight, bias, weight[:0])
        return np.hstack([weight, residual.sum(axis=1)[:, None]])

    def _dual(self) -> float:
        """The better of both feasible points, over S."""
        slopes = np.abs(self.grad[:, :-1])
        largest, best = float(slopes.max(initial=0.0)), -math.inf
        probs = self.probs if not self._first else np.vstack([1.0 - self.probs.sum(axis=0), self.probs])
        for q in {1.0, min(1.0, self.l1 / largest) if largest > 0 else 1.0}:
            excess = np.maximum(q * slopes - self.l1, 0.0)
            if self.l2 == 0.0 and largest * q > self.l1 * (1 + 1e-14):
                continue
            conjugate = float((excess * excess).sum()) / (2 * self.l2) if self.l2 > 0 else 0.0
            entropy = self.share @ _entropies(q * probs + (1.0 - q) * self._all_targets)
            best = max(best, float(entropy) - conjugate)
        return best / self._objective.total

    def step(self) -> bool:
        """To the minimum of the model over the working set, or as far as F falls; False if it does not."""
        features, classes, violation = self._working_set()
        if not len(features):
            return False
        at = (classes, features)
        start, slopes, weighted = self.weight[at], self.grad[at], self.share * self.probs
        weights, curvature = start.copy(), np.empty(len(features))
        free = features == self.weight.shape[1] - 1
        penalty = np.where(free, 0.0, self.l1), np.where(free, 0.0, self.l2)
        changes, mean_change = np.zeros_like(self.logits), np.zeros(self.logits.shape[1])
        is_sparse = isinstance(self.columns, tuple)
        where = (self.columns, features, classes, weighted, self.probs)
        (kernels.csc_curvatures if is_sparse else kernels.curvatures)(*where, curvature)
        sweep = kernels.csc_sweep if is_sparse else kernels.sweep
        for _ in range(SWEEPS):
            if sweep(*where, (weights, slopes, curvature), penalty, changes, mean_change) <= PRECISION * violation:
                break
        before = self._penalty(start, *penalty)
        return self._search(at, start, weights - start, changes, penalty, float(slopes @ (weights - start)) - before)

    def _search(
        self, at: Any, start: Array, step: Array, changes: Array, penalty: tuple[Array, Array], slope: float
    ) -> bool:
        """Go along the step, by half as much until F falls enough. slope: the loss's, less the penalty at the start."""
        before, share = self._penalty(start, *penalty), 1.0
        decrease = slope + self._penalty(start + step, *penalty)
        if not decrease < 0:
            return False
        for _ in range(HALVINGS):
            weights, logits = start + share * step, self.logits + share * changes
            loss = self._probs(logits)[1]
            change = loss - self.loss + self._penalty(weights, *penalty) - before
            if change <= SUFFICIENT * share * decrease + 1e-15 * abs(self.loss):
                self.weight[at], self.logits = weights, logits
                return True
            share /= 2
        return False

    def _working_set(self) -> tuple[Array, Array, float]:
        """Features and classes of the weights to move, by feature, then the biases; and the largest violation."""
        weight, n_features = self.weight[:, :-1], self.weight.shape[1] - 1
        slopes = self.grad[:, :-1] + self.l2 * weight
        present = weight != 0
        violation = np.where(present, np.abs(slopes + self.l1 * np.sign(weight)), np.abs(slopes) - self.l1)
        most = max(LEAST_SET, GROWTH * np.count_nonzero(present))
        chosen = np.flatnonzero((present | (violation > 0)).T)
        if len(chosen) > most:
            size = np.where(present.T.ravel()[chosen], np.inf, violation.T.ravel()[chosen])
            chosen = np.sort(chosen[np.argpartition(-size, most - 1)[:most]])
        n_classes = len(weight)
        features, classes = np.divmod(chosen, n_classes)
        largest = float(violation[classes, features].max(initial=0.0))
        if self._objective.fit_intercept and largest > 0:
            features = np.append(features, np.full(n_classes, n_features))
            classes = np.append(classes, np.arange(n_classes))
        return features, classes, largest

    def write(self, params: Array) -> None:
        """The weights, and biases for features as they come, whose sum is 0 where it is free."""
        ((weight, bias),) = self._objective.network.layers(params)
        weight[self._first :] = self.weight[:, :-1]
        biases = self.weight[:, -1] - self.weight[:, :-1] @ self.mean
        if self._objective.fit_intercept:
            bias[self._first :] = biases - (0.0 if self._first else biases.mean())


def _entropies(probs: Array) -> Array:
    """-sum_c p log p of each column, 0 log 0 being 0."""
    safe = np.where(probs > 0, probs, 1.0)
    entropies: Array = -(probs * np.log(safe)).sum(axis=0)
    return entropies


def _targets(objective: Objective) -> tuple[Array, Array]:
    """The weights a of the rows, and their targets as distributions (C, N): a target's mass goes into its weight."""
    labels, distribution = objective._by_kind
    n_rows, n_classes = len(objective.targets), int(objective.network.sizes[-1])
    targets = np.full((n_classes, n_rows), objective.label_smoothing / n_classes)
    if len(labels):
        targets[labels, np.arange(n_rows)] += 1.0 - objective.label_smoothing
    else:
        targets += (1.0 - objective.label_smoothing) * distribution.T
    mass = targets.sum(axis=0)
    share = mass * objective.sample_weight if objective.sample_weight.size else mass
    return share, targets / np.where(mass > 0, mass, 1.0)


def _columns(objective: Objective, share: Array) -> tuple[Any, Array]:
    """X by features with one of ones behind them, float64 about their means or CSC as it is; and the means."""
    X = objective.X
    if not isinstance(X, np.ndarray):
        by_column = csc_array(X)
        n_rows, n_numbers = X.shape[0], by_column.nnz
        data = np.append(by_column.data, np.ones(n_rows, X.dtype))
        indices = np.append(by_column.indices.astype(np.int32), np.arange(n_rows, dtype=np.int32))
        indptr = np.append(by_column.indptr.astype(np.int64), n_numbers + n_rows)
        return (data, indices, indptr), np.zeros(X.shape[1])
    columns = np.ones((X.shape[1] + 1, len(X)))
    columns[:-1] = X.T
    mean = np.zeros(X.shape[1])
    if objective.fit_intercept:
        mean = np.einsum("dn,n->d", columns[:-1], share / share.sum())
        columns[:-1] -= mean[:, None]
    return columns, mean
