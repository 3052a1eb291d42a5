"""What a loss compares logits with, and the weights of its mean: checked, and as kernels take them."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array, scalar
from fastsoftmax._gate.numbers import read_smoothing
from fastsoftmax._gate.targets import read_targets, read_weights, split_targets
from fastsoftmax.functional._losses import Loss

_ALL = slice(None)


@dataclass(frozen=True)
class LossTargets:
    """What a loss compares logits with, for kernels: labels, distributions, weights, and the scale of a sum."""

    labels: Array
    distribution: Array
    by_row: Array
    by_class: Array
    smoothing: float
    scale: float

    @property
    def for_kernels(self) -> tuple[Any, ...]:
        """In the order of a kernel's arguments; a mean over nothing is NaN, but its gradient 0."""
        scale = 0.0 if math.isnan(self.scale) else self.scale
        return self.labels, self.distribution, self.by_row, self.by_class, self.smoothing, scale

    def of_rows(self, rows: slice) -> "LossTargets":
        """Those of some rows, with the scale of all."""
        if rows == _ALL:
            return self
        return replace(self, labels=self.labels[rows], distribution=self.distribution[rows], by_row=self.by_row[rows])

    def reduce(self, losses: Array, dtype: np.dtype[Any]) -> Any:
        """The losses of all rows as one number."""
        return scalar(kernels.sum_row(losses) * self.scale, dtype)


def read_loss_targets(
    loss: Loss,
    targets: Array,
    shape: tuple[int, ...],
    compute: np.dtype[Any],
    sample_weight: ArrayLike | None,
    class_weight: ArrayLike | None,
    label_smoothing: float,
    ignore_index: int | None,
    reduction: str,
) -> LossTargets:
    """Check the arguments of a loss for logits of the shape."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f'reduction must be "none", "sum" or "mean", got {reduction!r}')
    smoothing = read_smoothing(label_smoothing)
    labels, distribution = split_targets(read_targets(targets, shape, compute, ignore_index), shape[-1], compute)
    by_row = read_weights("sample_weight", sample_weight, shape[:-1], np.float64)
    by_class = read_weights("class_weight", class_weight, shape[-1:], compute)
    scale = 1.0
    if reduction == "mean":
        for name, weight in (("sample_weight", by_row), ("class_weight", by_class)):
            if weight.size and not weight.any():
                raise ValueError(f'{name} must not be all zero with reduction="mean"')
        weighing = by_class if len(labels) or loss.weighs_rows else by_class[:0]
        scale = _one_over_weight(labels, distribution, by_row, weighing)
    return LossTargets(labels, distribution, by_row, by_class, smoothing, scale)


def _one_over_weight(labels: Array, distribution: Array, by_row: Array, by_class: Array) -> float:
    """1 / (sum of the weights that take part in a mean); NaN if no row does."""
    present, total = kernels.weight_taking_part(labels, distribution, by_row, by_class)
    if total > 0:
        return 1.0 / total
    if present and (by_row.size or by_class.size):
        raise ValueError('the weights of the rows that take part must not sum to zero with reduction="mean"')
    return math.nan
