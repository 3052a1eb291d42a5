"""What an objective asks of each part of the rows: functions without state, of a part and of what all parts share.

Each fills the arrays of `out`, if they are given, or else new ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.training.network import ACTIVATIONS, Network
from fastsoftmax.training.parts import Part, Sums

MULTIPLICATIONS = 8  # that take as long as one element of a row
NO_CLASS_WEIGHT = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}


@dataclass(frozen=True)
class Terms:
    """What is summed over the rows: (a loss of the network's logits) / total."""

    network: Network
    loss: str
    label_smoothing: float
    total: float

    def targets(self, part: Part, dtype: Any) -> tuple[Any, ...]:
        """Of some rows, as kernels take them, with an empty class_weight."""
        labels, distribution = part.by_kind
        return labels, distribution, part.sample_weight, NO_CLASS_WEIGHT[dtype], self.label_smoothing

    def work(self, part: Part) -> int:
        """How much there is to do for some rows, in elements of a row."""
        return part.n_numbers * int(self.network.sizes[1]) // MULTIPLICATIONS


def weight_of_rows(part: Part, dtype: Any) -> Sums:
    """The sum of the weights of the rows that take part, and the largest weight of all (0: there are none)."""
    labels, distribution = part.by_kind
    if part.sample_weight.size == 0:  # without the kernel, which a first fit would compile for this alone, for 0.1 s
        return float(np.count_nonzero(labels >= 0) if labels.size else len(distribution)), 0.0
    total = kernels.weight_taking_part(labels, distribution, part.sample_weight, NO_CLASS_WEIGHT[dtype])[1]
    return total, float(part.sample_weight.max(initial=0.0))


def sum_and_largest(left: Sums, right: Sums) -> Sums:
    """Of the rows of both."""
    return left[0] + right[0], max(left[1], right[1])


def loss_and_grad(part: Part, terms: Terms, params: Array, out: Array | None = None) -> Sums:
    """The sum of the losses (not over the total), and the gradient of that over the total."""
    grad = np.zeros_like(params) if out is None else out
    if out is not None:
        grad.fill(0)
    network, targets, scale = terms.network, terms.targets(part, params.dtype), 1.0 / terms.total
    given: tuple[Any, ...] = (LOSSES[terms.loss].number, part.rows)
    if network.is_linear:
        ((weight, bias),), (grads,) = network.layers(params), network.layers(grad)
        given += (weight, bias, *targets, scale, part.losses, *grads, weight[:0])
        run(kernels.linear_loss_rows, terms.work(part), *given)
    else:
        shape = (params, network.sizes, ACTIVATIONS[network.activation], np.arange(part.losses.size))
        given += (*targets, scale, *shape, part.losses, grad)
        run(kernels.network_loss_rows, terms.work(part), *given)
    return kernels.sum_row(part.losses), grad


def probs_of(part: Part, terms: Terms, params: Array) -> Array:
    """The probabilities of a linear model."""
    ((weight, bias),) = terms.network.layers(params)
    probs = np.empty((part.losses.size, len(weight)), params.dtype)
    run(kernels.dense_rows, terms.work(part), part.rows, weight, bias, probs)
    run(kernels.softmax_rows, probs.size, probs, None, probs)
    return probs


def hessian_product(
    part: Part, terms: Terms, params: Array, vector: Array, probs: list[Array] | None, out: Array | None = None
) -> Sums:
    """H v of a linear model. probs: of all parts, or None: then they are computed in the same pass."""
    result = np.zeros_like(params) if out is None else out
    if out is not None:
        result.fill(0)
    ((weight, bias),), (tangents,) = terms.network.layers(params), terms.network.layers(vector)
    (products,) = terms.network.layers(result)
    here = np.empty((0, len(weight)), params.dtype) if probs is None else probs[part.number]
    point = (LOSSES[terms.loss].number, part.rows, weight, bias, *tangents)
    targets = (*terms.targets(part, params.dtype), 1.0 / terms.total, here)
    run(kernels.linear_loss_hvp_rows, terms.work(part), *point, *targets, *products)
    return (result,)


def whole_hessian(
    part: Part,
    terms: Terms,
    features: tuple[Array, Array, float],
    weight: Array,
    out: tuple[Array, Array] | None = None,
) -> Sums:
    """The sum of the cross-entropies, and gradient and Hessian of that over the total: see kernels/layer/hessian.py."""
    size = (len(weight) - 1) * weight.shape[1]
    grad, hessian = (np.empty_like(weight), np.empty((size, size))) if out is None else out
    labels, distribution = part.by_kind
    targets = (labels, distribution.astype(np.float64, copy=False), part.sample_weight, terms.label_smoothing)
    work, sums = part.losses.size * (weight.size + hessian.size // 4), (part.losses, grad, hessian)
    kernel = kernels.linear_cross_entropy_hessian_rows
    run(kernel, work // MULTIPLICATIONS, part.rows, *features, weight, *targets, 1.0 / terms.total, *sums)
    return kernels.sum_row(part.losses), grad, hessian
