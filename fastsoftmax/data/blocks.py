"""Rows that a function gives block by block."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import check_shape, is_sparse
from fastsoftmax.data.source import Block, Room, Source, put, stacked


def from_blocks(factory: Callable[[], Iterable[Any]]) -> Source:
    """Rows that a function gives block by block.

    Parameters
    ----------
    factory : callable
        Called without arguments at the start of each pass; it returns an iterable of blocks (X, y) or
        (X, y, sample_weight), the same ones each time. X is a matrix or a CSR matrix, y as in `SoftmaxClassifier.fit`.
        Blocks may have any number of rows. It is called and gone through in another thread, which reads ahead.

    Returns
    -------
    Source
        For ``SoftmaxClassifier.fit(source)``.

    Raises
    ------
    TypeError
        factory is not callable, as an iterator is not, which could be gone through only once.

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> def blocks():
    ...     for seed in range(3):
    ...         X = np.random.default_rng(seed).standard_normal((50, 2))
    ...         yield X, X[:, 0] > 0
    >>> fs.SoftmaxClassifier().fit(fs.data.from_blocks(blocks)).classes_
    array([False,  True])
    """
    if not callable(factory):
        raise TypeError(
            f"factory must be a function that returns blocks anew for each pass, got {type(factory).__name__}"
        )
    return _Blocks(factory)


class _Blocks(Source):
    """Blocks that a function gives."""

    is_ordered = True

    def __init__(self, factory: Callable[[], Iterable[Any]]) -> None:
        self._factory = factory

    def blocks(self) -> Iterator[Block]:
        """All of them."""
        for number, block in enumerate(self._factory()):
            if not isinstance(block, (tuple, list)) or len(block) not in (2, 3):
                raise TypeError(f"block {number} must be (X, y) or (X, y, sample_weight), got {type(block).__name__}")
            given, y, *weight = block
            X: Any = given if is_sparse(given) else np.asarray(given)
            if is_sparse(X) and X.format != "csr":
                raise TypeError(f"X of block {number} must be an array or in CSR format, got {X.format}")
            if len(X.shape) != 2:
                raise ValueError(f"X of block {number} must have shape (n_samples, n_features), got {X.shape}")
            y, sample_weight = np.asarray(y), None if not weight or weight[0] is None else np.asarray(weight[0])
            if y.shape[:1] != X.shape[:1]:
                raise ValueError(f"y of block {number} must have {X.shape[0]} rows, got shape {y.shape}")
            if sample_weight is not None:
                check_shape(f"sample_weight of block {number}", sample_weight, X.shape[:1])
            yield Block(X, y, sample_weight)

    def runs(
        self, n_rows: int, dtype: np.dtype[Any], order: Iterable[int] | None, with_X: bool = True
    ) -> Iterator[Block]:
        """Runs of so many rows, in their order alone."""
        waiting, n_waiting = list[Block](), 0
        room = Room(n_rows, dtype)
        with closing(self.blocks()) as blocks:  # type: ignore[type-var]
            for block in blocks:
                rest = block
                while n_waiting + rest.X.shape[0] >= n_rows:
                    cut = n_rows - n_waiting
                    yield _joined([*waiting, _rows_of(rest, 0, cut)], room, dtype)
                    rest, waiting, n_waiting = _rows_of(rest, cut, rest.X.shape[0]), [], 0
                if rest.X.shape[0]:
                    waiting.append(rest)
                    n_waiting += rest.X.shape[0]
        if waiting:
            yield _joined(waiting, room, dtype)


def _rows_of(block: Block, first: int, last: int) -> Block:
    return Block(*[None if column is None else column[first:last] for column in block])


def _joined(blocks: list[Block], room: Room, dtype: np.dtype[Any]) -> Block:
    """The rows of some blocks, X in the dtype."""
    y = np.concatenate([block.y for block in blocks])
    weight = None
    if blocks[0].sample_weight is not None:
        weight = np.concatenate([block.sample_weight for block in blocks])
    if is_sparse(blocks[0].X):
        return Block(stacked([block.X for block in blocks]).astype(dtype, copy=False), y, weight)
    X, at = room.next(len(y), blocks[0].X.shape[1]), 0
    for block in blocks:
        at += put(block.X, X[at : at + len(block.X)]).shape[0]
    return Block(X, y, weight)
