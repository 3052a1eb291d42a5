"""Rows cut into parts, and sums over rows that have the same bits wherever the parts lie.

A part is `part_rows` consecutive rows, which the shapes alone decide; the last one may be shorter. Kernels sum over the
rows of a part in a fixed order, and the sums of the parts are added up in a binary tree by position: parts 2i and
2i + 1, then pairs 2j and 2j + 1, and so on; what has no right neighbour goes up as it is. So a sum does not depend on
where a part is read from, on who computes it, nor on what comes first: arrays in memory, files that are read block by
block and the workers of a cluster give the same coefficients, bit for bit.

What is done with a part is a task: a function of (part, *arguments) without state, which gives a tuple of sums.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.kernels.layer.passes import GROUP

ELEMENTS = 2**23  # of a dense part at the most: 32 or 64 MB
MOST_GROUPS = 2**11  # of rows in a dense part: enough that a call's overhead is nothing
# Of a sparse part. Each costs a pass over the gradient, which is dense: of a large one there are to be few
CSR_GROUPS, MOST_CSR_GROUPS, NUMBERS_A_ROW = 2**7, 2**9, 16

Sums = tuple[Any, ...]
Combine = Callable[[Sums, Sums], Sums]
Task = Callable[..., Sums]


def part_rows(n_features: int, n_units: int, is_sparse: bool) -> int:
    """How many rows a part has, for so many features and units of the first layer: reduction groups, a power of 2."""
    if is_sparse:
        groups = min(MOST_CSR_GROUPS, max(CSR_GROUPS, n_features * n_units // (NUMBERS_A_ROW * GROUP)))
    else:
        groups = min(MOST_GROUPS, max(1, ELEMENTS // (GROUP * max(1, n_features))))
    return GROUP * 2 ** (groups.bit_length() - 1)


@dataclass
class Part:
    """Some rows, as kernels take them.

    Attributes
    ----------
    number : of the part
    rows : a C-contiguous matrix, or (data, indices, indptr) with rising int32 indices; empty where nobody looks at X
    by_kind : targets as labels and as distributions, one of both empty
    sample_weight : of the rows, or empty: all 1
    losses : room for a float64 for each row
    """

    number: int
    rows: Any
    by_kind: tuple[Array, Array]
    sample_weight: Array
    losses: Array

    @property
    def n_numbers(self) -> int:
        """That X has in these rows."""
        return int(self.rows[0].size if isinstance(self.rows, tuple) else self.rows.size)


def add(left: Sums, right: Sums) -> Sums:
    """The sums of two runs of rows that follow one another."""
    return tuple(_added(a, b) for a, b in zip(left, right, strict=True))


def _added(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray) and a.flags.writeable:
        a += b
        return a
    return a + b


class Node:
    """The sums of 2^level parts, from part number position * 2^level on."""

    __slots__ = ("level", "position", "sums")

    def __init__(self, level: int, position: int, sums: Sums) -> None:
        self.level, self.position, self.sums = level, position, sums

    @property
    def first(self) -> int:
        """The number of the first part."""
        return self.position << self.level


class Tree:
    """Sums of parts, combined as soon as their neighbours have come, in whatever order that is."""

    def __init__(self, combine: Combine = add) -> None:
        self._combine, self._nodes = combine, dict[tuple[int, int], Node]()

    def put(self, node: Node) -> None:
        """Take the sums of some parts."""
        while (other := self._nodes.pop((node.level, node.position ^ 1), None)) is not None:
            left, right = (other, node) if node.position & 1 else (node, other)
            node = Node(node.level + 1, node.position >> 1, self._combine(left.sums, right.sums))
        self._nodes[node.level, node.position] = node

    def nodes(self) -> list[Node]:
        """What has been combined so far, in the order of the rows."""
        return sorted(self._nodes.values(), key=lambda node: node.first)

    def total(self) -> Sums:
        """The sums of all parts: those that have no right neighbour go up as they are."""
        *before, last = self.nodes()
        sums = last.sums
        for node in reversed(before):
            sums = self._combine(node.sums, sums)
        return sums


def fold(parts: Iterable[Part], task: Task, *arguments: Any, combine: Combine = add, out: Any = None) -> Tree:
    """The task's sums of some parts. out: handed to the task of the first, in whose arrays the sums end."""
    tree = Tree(combine)
    for part in parts:
        if out is None:
            tree.put(Node(0, part.number, task(part, *arguments)))
        else:
            tree.put(Node(0, part.number, task(part, *arguments, out=out)))
            out = None
    return tree


class Parts(Protocol):
    """All rows of X, with targets and weights.

    Attributes
    ----------
    n_rows, n_features : int
    dtype : that kernels compute with
    is_sparse : bool
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    is_sparse: bool

    def fold(self, task: Task, *arguments: Any, combine: Combine = add, out: Any = None, with_X: bool = True) -> Sums:
        """The task's sums of all parts. out: see `fold`. with_X: whether the task looks at X."""


class ArrayParts:
    """The parts of arrays: views.

    Parameters
    ----------
    rows : X as kernels take it
    shape : of X
    by_kind, sample_weight : as Part has them, of all rows
    n_units : of the first layer
    """

    def __init__(
        self, rows: Any, shape: tuple[int, int], by_kind: tuple[Array, Array], sample_weight: Array, n_units: int
    ) -> None:
        self.n_rows, self.n_features = shape
        self.is_sparse = isinstance(rows, tuple)
        self.dtype = rows[0].dtype if self.is_sparse else rows.dtype
        size = part_rows(self.n_features, n_units, self.is_sparse)
        losses = np.empty(min(size, self.n_rows))
        if self.n_rows <= size:
            self.parts = [Part(0, rows, by_kind, sample_weight, losses)]
            return
        self.parts = [
            Part(
                first // size,
                rows_between(rows, first, min(first + size, self.n_rows)),
                (by_kind[0][first : first + size], by_kind[1][first : first + size]),
                sample_weight[first : first + size],
                losses[: self.n_rows - first],
            )
            for first in range(0, self.n_rows, size)
        ]

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def fold(self, task: Task, *arguments: Any, combine: Combine = add, out: Any = None, with_X: bool = True) -> Sums:
        """The task's sums of all parts."""
        if len(self.parts) == 1:  # 2 us less
            return task(self.parts[0], *arguments) if out is None else task(self.parts[0], *arguments, out=out)
        return fold(self.parts, task, *arguments, combine=combine, out=out).total()


def rows_between(rows: Any, first: int, last: int) -> Any:
    """Some rows of X as kernels take it: views, but for the indptr of a CSR matrix."""
    if not isinstance(rows, tuple):
        return rows[first:last]
    data, indices, indptr = rows
    start, end = int(indptr[first]), int(indptr[last])
    return data[start:end], indices[start:end], indptr[first : last + 1] - start
