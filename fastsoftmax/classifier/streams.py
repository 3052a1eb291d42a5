"""Data that are read block by block (fastsoftmax/data/), from the first look at them to what kernels take."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol

import numpy as np
from sklearn.utils import check_array, column_or_1d

from fastsoftmax._gate.arrays import Array, contiguous
from fastsoftmax._gate.targets import split_targets
from fastsoftmax.classifier.labels import Labels, is_soft, plain_labels, read_labels, weigh
from fastsoftmax.data.source import Block, Source, ahead
from fastsoftmax.functional.inference import is_finite
from fastsoftmax.training.array_objective import kernel_samples
from fastsoftmax.training.network import Network
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.parts import Combine, Part, Parts, Sums, Task, add, fold, part_rows
from fastsoftmax.training.stream import StreamObjective

NARROW = (np.dtype(np.float16), np.dtype(np.float32))  # which are trained in float32


@dataclass(frozen=True)
class Found:
    """What a look at some rows shows.

    Attributes
    ----------
    n_rows, n_features : int
    classes : ndarray, sorted; of soft labels their numbers
    is_sparse, is_narrow, is_soft, is_weighted : bool
    has_weight : whether some row has a weight above 0
    """

    n_rows: int
    n_features: int
    classes: Array
    is_sparse: bool
    is_narrow: bool
    is_soft: bool
    is_weighted: bool
    has_weight: bool

    def with_more(self, other: "Found") -> "Found":
        """Of these rows and those that follow."""
        for name in ("n_features", "is_sparse", "is_soft", "is_weighted"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"all blocks must be alike: {name} is {getattr(self, name)} and {getattr(other, name)}"
                )
        if self.is_soft and len(self.classes) != len(other.classes):
            raise ValueError(f"y must have as many columns in all blocks: {len(self.classes)}, {len(other.classes)}")
        return Found(
            self.n_rows + other.n_rows,
            self.n_features,
            np.unique(np.concatenate([self.classes, other.classes])),
            self.is_sparse,
            self.is_narrow and other.is_narrow,
            self.is_soft,
            self.is_weighted,
            self.has_weight or other.has_weight,
        )

    def of_classes(self, classes: Array) -> "Found":
        """With other classes, of which y may lack some."""
        unknown = self.classes[~np.isin(self.classes, classes)]
        if unknown.size:
            raise ValueError(
                f"y has classes that are not in classes: {unknown.tolist()}; classes is {classes.tolist()}"
            )
        return replace(self, classes=classes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """That is computed with."""
        return np.dtype(np.float32 if self.is_narrow else np.float64)


def examine(block: Block) -> Found:
    """Look at some rows: a ValueError or TypeError where they cannot be used."""
    X = block.X
    if not (isinstance(X, np.ndarray) and X.ndim == 2 and X.flags.carray and _is_finite(X)):
        X = check_array(X, accept_sparse="csr", dtype="numeric", input_name="X", ensure_min_samples=0)
    y = plain_labels(block.y)
    soft = is_soft(y)
    y = check_array(y, input_name="y", ensure_min_samples=0) if soft else column_or_1d(y)
    if soft:
        classes = np.arange(y.shape[1])
    elif not len(y):
        classes = y[:0]
    else:
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity")
        classes = np.unique(y)
    weight, has_weight = block.sample_weight, True
    if weight is not None:
        weight = check_array(
            weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight", ensure_min_samples=0
        )
        if (weight < 0).any():
            raise ValueError("Negative values in data passed to `sample_weight`")
        has_weight = bool(weight.any())
    narrow = X.dtype.newbyteorder("=") in NARROW
    shape, sparse = X.shape, not isinstance(X, np.ndarray)
    return Found(shape[0], shape[1], classes, sparse, narrow, soft, weight is not None, has_weight)


def _is_finite(X: Array) -> bool:
    """Whether every number is, of a native dtype of which that is told fast."""
    if not X.dtype.isnative:
        return False
    if X.dtype == np.float16:
        return bool((X.view(np.uint16) & 0x7FFF).max(initial=0) < 0x7C00)
    return X.dtype.char in "fd" and is_finite(X)


def examine_all(source: Source) -> Found:
    """Look at all rows of a source."""
    with closing(ahead(source.blocks())) as blocks:  # type: ignore[type-var]
        looks = (look for look in map(examine, blocks) if look.n_rows)
        try:
            first = next(looks)
        except StopIteration:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required") from None
        return check_found(reduce(Found.with_more, looks, first))


def check_found(found: Found) -> Found:
    """Raise where all rows together cannot be used."""
    if not found.has_weight:
        raise ValueError("sample_weight must not be all zero")
    if not found.is_soft:
        read_labels(found.classes, found.dtype)  # raises for what are no labels, or one class alone
    return found


@dataclass(frozen=True)
class Encoding:
    """From a block to what kernels take.

    Attributes
    ----------
    classes : ndarray, sorted
    class_weight : by class, or empty
    loss : its name
    dtype : that is computed with
    """

    classes: Array
    class_weight: Array
    loss: str
    dtype: np.dtype[Any]

    def part(self, number: int, block: Block) -> Part:
        """The part of this number."""
        weight = np.empty(0) if block.sample_weight is None else np.asarray(block.sample_weight, np.float64)
        labels, weight = weigh(self.loss, self._labels(plain_labels(block.y)), weight, self.class_weight)
        if block.X is None:
            X: Any = np.empty((0, 0), self.dtype)
        elif isinstance(block.X, np.ndarray):
            X = contiguous(block.X, self.dtype)  # what came over a network may lie anywhere
        else:
            X = block.X.astype(self.dtype, copy=False)
        targets = contiguous(labels.targets, labels.targets.dtype)
        by_kind = split_targets(targets, len(self.classes), self.dtype)
        return Part(number, kernel_samples(X), by_kind, contiguous(weight, weight.dtype), np.empty(len(targets)))

    def _labels(self, y: Any) -> Labels:
        if is_soft(y):
            return read_labels(y, self.dtype, self.classes)
        y, classes = column_or_1d(y), self.classes
        if y.dtype == classes.dtype and y.dtype.kind == "i" and int(classes[-1]) - int(classes[0]) == len(classes) - 1:
            targets = y.astype(np.int64) - int(classes[0])
            if len(y) and targets.min() >= 0 and targets.max() < len(classes):
                return Labels(classes, targets)  # of consecutive numbers: a twentieth of the time of a search
        targets = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        if (self.classes[targets] != y).any():
            return read_labels(y, self.dtype, self.classes)  # which says what they are
        return Labels(self.classes, targets.astype(np.int64, copy=False))


class Stream(Protocol):
    """Data that are not arrays in this process.

    Attributes
    ----------
    found : what a look at all rows has shown
    """

    found: Found

    def order_size(self, network: Network) -> int:
        """How many there are of what an epoch takes in another order each time."""

    def parts(self, encoding: Encoding, n_units: int) -> Parts:
        """All rows."""

    def objective(self, parts: Any, network: Network, terms: dict[str, Any]) -> Objective:
        """F on them."""


class SourceStream:
    """Data that are read."""

    def __init__(self, source: Source) -> None:
        self._source, self.found = source, examine_all(source)

    def order_size(self, network: Network) -> int:
        """The number of parts."""
        rows = part_rows(self.found.n_features, int(network.sizes[1]), self.found.is_sparse)
        return math.ceil(self.found.n_rows / rows)

    def parts(self, encoding: Encoding, n_units: int) -> "SourceParts":
        """All rows, read anew in each pass."""
        return SourceParts(self._source, self.found, encoding, n_units)

    def objective(self, parts: Any, network: Network, terms: dict[str, Any]) -> Objective:
        """F, and epochs over shuffled parts."""
        return StreamObjective(parts, network, **terms)


class SourceParts:
    """The parts of a source, read anew in each pass."""

    def __init__(self, source: Source, found: Found, encoding: Encoding, n_units: int) -> None:
        self.n_rows, self.n_features = found.n_rows, found.n_features
        self.dtype, self.is_sparse, self.is_ordered = encoding.dtype, found.is_sparse, source.is_ordered
        self._source, self._encoding = source, encoding
        self.rows_a_part = part_rows(self.n_features, n_units, self.is_sparse)
        self.n_parts = math.ceil(self.n_rows / self.rows_a_part)

    def read(self, order: Array | None = None, with_X: bool = True) -> Iterator[Part]:
        """Parts by number, or all."""
        numbers = np.arange(self.n_parts) if order is None else order.copy()
        runs = self._source.runs(self.rows_a_part, self.dtype, None if order is None else numbers, with_X)
        n_rows = 0
        with closing(ahead(runs)) as blocks:  # type: ignore[type-var]
            for n_before, block in enumerate(blocks):
                n_rows += len(block.y)
                if n_rows > self.n_rows or (block.X is not None and block.X.shape[1] != self.n_features):
                    break
                yield self._encoding.part(int(numbers[n_before]), block)
        if n_rows != self.n_rows:
            now = f"{n_rows} or more" if n_rows > self.n_rows else n_rows
            raise ValueError(f"the blocks must be the same in each pass: they had {self.n_rows} rows, now {now}")

    def fold(self, task: Task, *arguments: Any, combine: Combine = add, out: Any = None, with_X: bool = True) -> Sums:
        """The task's sums of all parts."""
        with closing(self.read(with_X=with_X)) as parts:  # type: ignore[type-var]
            return fold(parts, task, *arguments, combine=combine, out=out).total()
