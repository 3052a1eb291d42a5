"""What is minimised: a network's loss on data, with its gradient, by one of three ways back through softmax.

    F = 1/S (sum_n s_n loss_n + alpha/2 sum_k |W_k|^2)       S = sum of the weights s_n; biases are not penalised

All parameters lie in one array, layer after layer: weight (n_out, n_in), bias (n_out,). Of two classes the first has
logits 0: its weights and bias stay 0, so that F is that of logistic regression with one logit.

The way back is "fused", loss and gradients in one kernel; "vjp", dL/dp and then softmax_vjp, O(C) a row; or "jacobian",
dL/dp times the Jacobian of each row, built, O(C^2). They tell the compared models apart and differ by rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from fastsoftmax import functional, kernels, reference
from fastsoftmax._gate.arrays import Array, contiguous
from fastsoftmax._gate.samples import Samples
from fastsoftmax._gate.targets import split_targets
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.optimizers import ADAM, METHOD
from fastsoftmax.training.spread import Spread

ACTIVATIONS = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}  # and the numbers that kernels know them by
MULTIPLICATIONS = 8  # that take as long as one element of a row
CALL_WORK = 2**25  # elements in one call at the most, unless a batch has more: 10 to 100 ms

Options = dict[str, Any]


Function = Callable[..., Any]
# Of a loss by its name: value, value and gradient in the logits, and the same by the Jacobian
BY_LOGITS: dict[str, tuple[Function, Function, Function]] = {
    "cross_entropy": (
        functional.cross_entropy,
        functional.cross_entropy_value_and_grad,
        reference.cross_entropy_value_and_grad,
    ),
    "squared_error": (
        functional.squared_error,
        functional.squared_error_value_and_grad,
        reference.squared_error_value_and_grad,
    ),
}


def _jacobian(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp times the Jacobian of each row, built: (N, C, C)."""
    result: tuple[float, Array] = BY_LOGITS[loss][2](logits, targets, reduction="sum", **options)
    return result


def _vjp(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp, then softmax_vjp: O(C) a row."""
    probs = functional.softmax(logits)
    grad_probs = reference.grad_probs(loss, probs, targets, reduction="sum", **options)
    value: float = BY_LOGITS[loss][0](logits, targets, reduction="sum", **options)
    return value, functional.softmax_vjp(probs, grad_probs)


def _fused(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """Loss and dL/dlogits in one kernel (of a whole network: with everything else, see Objective)."""
    result: tuple[float, Array] = BY_LOGITS[loss][1](logits, targets, reduction="sum", **options)
    return result


# The sum of the losses and its gradient in the logits
BACKWARD: dict[str, Callable[[str, Array, Array, Options], tuple[float, Array]]] = {
    "jacobian": _jacobian,
    "vjp": _vjp,
    "fused": _fused,
}


@dataclass(frozen=True)
class Network:
    """Dense layers with an activation between them; a single layer is softmax regression.

    Attributes
    ----------
    sizes : ndarray of int64
        n_features, the units of each hidden layer, n_classes.
    activation : {"identity", "logistic", "tanh", "relu"}
    """

    sizes: Array
    activation: str = "relu"

    @property
    def n_params(self) -> int:
        """How many weights and biases."""
        return sum(int(n_out * (n_in + 1)) for n_in, n_out in pairwise(self.sizes))

    def layers(self, params: Array) -> list[tuple[Array, Array]]:
        """Weight (n_out, n_in) and bias (n_out,) of each layer, as views of all parameters."""
        views, at = [], 0
        for n_in, n_out in pairwise(map(int, self.sizes)):
            end = at + n_out * n_in
            views.append((params[at:end].reshape(n_out, n_in), params[end : end + n_out]))
            at = end + n_out
        return views


def layer_inputs(X: Any, layers: Sequence[tuple[Array, Array]], activation: str) -> list[Any]:
    """What each dense layer is given: X, then the activations of the hidden layers."""
    inputs = [X]
    for weight, bias in layers[:-1]:
        inputs.append(functional.dense(inputs[-1], weight, bias))
        kernels.activate(inputs[-1], ACTIVATIONS[activation])
    return inputs


@dataclass
class Objective:
    """F and its derivatives on data.

    Attributes
    ----------
    X : ndarray (N, D), C-contiguous float32 or float64, or scipy.sparse CSR of that dtype
    targets : ndarray (N,) of int64, or (N, C) of X's dtype
    network : Network
    sample_weight : ndarray (N,) of float64, or empty: all 1. Class weights have gone into it
    pins_first_class : whether the first class has logits 0
    l1 : strength of the L1 penalty, l1/S |W|_1; only proximal.py adds it: value_and_grad is of the smooth part
    rows : X as kernels take it
    by_kind : targets as labels and as distributions, one of both empty
    """

    X: Any
    targets: Array
    network: Network
    sample_weight: Array
    loss: str = "cross_entropy"
    alpha: float = 0.0
    label_smoothing: float = 0.0
    fit_intercept: bool = True
    pins_first_class: bool = False
    backward: str = "fused"
    l1: float = 0.0
    total: float = field(init=False)
    rows: Any = field(init=False)
    by_kind: tuple[Array, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = kernel_samples(self.X)
        # arrays of a caller's may be read-only: kernels would be compiled once more for those
        self.targets = contiguous(self.targets, self.targets.dtype)
        self.sample_weight = contiguous(self.sample_weight, self.sample_weight.dtype)
        self._no_class_weight = np.empty(0, self.X.dtype)
        self.by_kind = split_targets(self.targets, int(self.network.sizes[-1]), self.X.dtype)
        self.total = kernels.weight_taking_part(*self.by_kind, self.sample_weight, self._no_class_weight)[1]
        self._losses = np.empty(len(self.targets))
        self._order = np.arange(len(self.targets))
        self._work = int(self.X.size) * int(self.network.sizes[1]) // MULTIPLICATIONS

    @property
    def _penalty(self) -> tuple[float, bool, bool]:
        return self.alpha / self.total, self.pins_first_class, self.fit_intercept

    @property
    def _loss_targets(self) -> tuple[Any, ...]:
        return *self.by_kind, self.sample_weight, self._no_class_weight, self.label_smoothing

    @property
    def is_linear(self) -> bool:
        """Whether there is no hidden layer."""
        return len(self.network.sizes) == 2

    @cached_property
    def spread(self) -> Spread:
        """How the features are spread over the rows."""
        return Spread(self.X, self.rows, self.sample_weight, self.fit_intercept)

    def value_and_grad(self, params: Array, out: Array | None = None) -> tuple[float, Array]:
        """F and dF/dparams, which is put into `out` if that is given."""
        grad = np.empty_like(params) if out is None else out
        grad.fill(0)
        if self.backward != "fused":
            value = self._by_logits(params, self._order, self.total, grad)
        else:
            self._fused(params, grad)
            value = kernels.sum_row(self._losses) / self.total
        return value + kernels.penalise(params, self.network.sizes, self._penalty, grad), grad

    def _fused(self, params: Array, grad: Array) -> None:
        scale, sizes = 1.0 / self.total, self.network.sizes
        if self.is_linear:
            ((weight, bias),), (grads,) = self.network.layers(params), self.network.layers(grad)
            kernel = LOSSES[self.loss].linear_rows
            run(
                kernel,
                self._work,
                self.rows,
                weight,
                bias,
                *self._loss_targets,
                scale,
                self._losses,
                *grads,
                weight[:0],
            )
        else:
            kernel, activation = LOSSES[self.loss].network_rows, ACTIVATIONS[self.network.activation]
            network = (params, sizes, activation, self._order)
            run(kernel, self._work, self.rows, *self._loss_targets, scale, *network, self._losses, grad)

    def _by_logits(self, params: Array, rows: Array, total: float, grad: Array) -> float:
        """The loss of some rows over `total`; its gradient, by a way back that needs the logits, goes into grad."""
        way, layers = BACKWARD[self.backward], self.network.layers(params)
        options: Options = {"label_smoothing": self.label_smoothing}
        if self.sample_weight.size:
            options["sample_weight"] = self.sample_weight[rows]
        inputs = layer_inputs(self.X[rows], layers, self.network.activation)
        value, cotangent = way(self.loss, functional.dense(inputs[-1], *layers[-1]), self.targets[rows], options)
        cotangent = cotangent / params.dtype.type(total)
        for k, (grad_weight, grad_bias) in reversed(list(enumerate(self.network.layers(grad)))):
            grad_X, grad_weight[:], grad_bias[:] = functional.dense_vjp(
                inputs[k], layers[k][0], cotangent, with_grad_X=k > 0
            )
            if grad_X is not None:
                kernels.times_slope(grad_X, inputs[k], ACTIVATIONS[self.network.activation])
                cotangent = grad_X
        return float(value) / total

    def hvp(self, params: Array) -> Callable[[Array, Array], Array]:
        """The function (v, out) -> H v, H the Hessian of F at the parameters of a linear model.

        The probabilities are computed once.
        """
        ((weight, bias),) = self.network.layers(params)
        probs = np.empty((len(self.targets), len(weight)), params.dtype)
        run(kernels.dense_rows, self._work, self.rows, weight, bias, probs)
        run(kernels.softmax_rows, probs.size, probs, None, probs)
        kernel = LOSSES[self.loss].linear_hvp_rows
        sizes, loss_targets = self.network.sizes, (*self._loss_targets, 1.0 / self.total, probs)

        def product(vector: Array, out: Array) -> Array:
            out.fill(0)
            (tangents,), (products,) = self.network.layers(vector), self.network.layers(out)
            run(kernel, self._work, self.rows, weight, bias, *tangents, *loss_targets, *products)
            kernels.penalise(vector, sizes, self._penalty, out)  # its gradient is linear in the parameters
            return out

        return product

    def hessian(self, weight: Array, features: tuple[Array, Array, float], grad: Array, hessian: Array) -> float:
        """The cross-entropy without the penalty, and its gradient and Hessian, for float64 weights (C, D + 1).

        features: mean, scale and bias_scale, of which kernels/layer/hessian.py makes x' of a row; grad (C, D + 1) and
        hessian ((C - 1) (D + 1),) * 2 are filled.
        """
        labels, distribution = self.by_kind
        targets = (labels, distribution.astype(np.float64, copy=False), self.sample_weight, self.label_smoothing)
        work, sums = self._losses.size * (weight.size + hessian.size // 4), (self._losses, grad, hessian)
        kernel, scale = kernels.linear_cross_entropy_hessian_rows, 1.0 / self.total
        run(kernel, work // MULTIPLICATIONS, self.rows, *features, weight, *targets, scale, *sums)
        return float(kernels.sum_row(self._losses)) / self.total

    def epoch(
        self, params: Array, order: Array, shuffling: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> float:
        """Every row once, a step after each batch: F as it was met. descent: see DescentState."""
        if shuffling.size:
            kernels.shuffle(order, shuffling)
        if self.backward != "fused":
            loss_sum, weight_sum = self._epoch_by_logits(params, order, batch_size, descent)
            return loss_sum / weight_sum
        kernel, activation = LOSSES[self.loss].network_epoch, ACTIVATIONS[self.network.activation]
        network, steps = (params, self.network.sizes, activation), (self._penalty, np.empty_like(params), *descent)
        work, loss_sum, weight_sum = self._batch_work(batch_size, descent[-1][METHOD]), 0.0, 0.0
        rows = batch_size * max(1, CALL_WORK // work)
        for first in range(0, len(order), rows):  # an interrupt comes between two calls
            here = order[first : first + rows]
            sums = run(kernel, work, self.rows, *self._loss_targets, *network, here, batch_size, *steps)
            loss_sum, weight_sum = loss_sum + sums[0], weight_sum + sums[1]
        return loss_sum / weight_sum

    def _batch_work(self, batch_size: int, method: float) -> int:
        """What a batch and its step take, in elements of a row."""
        n_features, n_units = map(int, self.network.sizes[:2])
        read = int(self.X.size) * n_units // max(1, len(self.targets))
        later = self.network.n_params - n_features * n_units
        is_sparse = isinstance(self.rows, tuple)  # numbers here and there; and sgd's steps are lazy if these are few
        step = 1 if is_sparse and method != ADAM else self.network.n_params
        return batch_size * (read // (1 if is_sparse else MULTIPLICATIONS) + later // MULTIPLICATIONS) + step

    def _epoch_by_logits(
        self, params: Array, order: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> tuple[float, float]:
        """The same for rows in this order, batch by batch in Python."""
        loss_sum, weight_sum, grad = 0.0, 0.0, np.empty_like(params)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            by_row = self.sample_weight[rows] if self.sample_weight.size else self.sample_weight
            labels, distribution = self.by_kind
            some = (labels[rows], distribution) if len(labels) else (labels, distribution[rows])
            weight = kernels.weight_taking_part(*some, by_row, self._no_class_weight)[1]
            if weight > 0:
                value = self._by_logits(params, rows, weight, grad)
                value += kernels.penalise(params, self.network.sizes, self._penalty, grad)
                loss_sum, weight_sum = loss_sum + weight * value, weight_sum + weight
                kernels.descend(params, grad, *descent)
        return loss_sum, weight_sum


def kernel_samples(X: Any) -> Any:
    """X as kernels take it: a C-contiguous matrix, or (data, indices, indptr) with rising int32 indices."""
    ((_, rows),) = Samples(X).pieces(X.dtype)
    return rows
