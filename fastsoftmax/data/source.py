"""What every source of rows is, and what reading takes: a thread that reads ahead, and room for two runs of rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastsoftmax._gate.arrays import QUIET, Array, contiguous, is_ready
from fastsoftmax._gate.halves import widen


class Block(NamedTuple):
    """Some rows: X (n, D), dense or CSR; y (n,) or (n, C); sample_weight (n,) or None."""

    X: Any
    y: Any
    sample_weight: Any = None


class Source(ABC):
    """Where rows come from; see `from_files` and `from_blocks`.

    Attributes
    ----------
    is_ordered : whether rows can only be had in their order

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> source = fs.data.from_blocks(lambda: iter([(np.eye(2), [0, 1])]))
    >>> isinstance(source, fs.data.Source), source.is_ordered
    (True, True)
    """

    is_ordered: bool

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """All rows in their order, in blocks of any length, as they are; one may be overwritten two blocks later."""

    @abstractmethod
    def runs(
        self, n_rows: int, dtype: np.dtype[Any], order: Iterable[int] | None, with_X: bool = True
    ) -> Iterator[Block]:
        """Runs of so many rows, run by run or in an order; X is C-contiguous or CSR of the dtype, or None if unwanted.

        What a run is made of may be overwritten two runs later.
        """


def refuse_source(X: Any) -> None:
    """Raise where an array is needed."""
    if isinstance(X, Source):
        raise TypeError(
            "X must be an array or a matrix: sources are for SoftmaxClassifier.fit, others take the blocks of "
            "source.blocks() one by one"
        )


def ahead(iterator: Iterator[Any]) -> Iterator[Any]:
    """The same, made in another thread: the next one while one is in use."""
    end = object()
    from concurrent.futures import ThreadPoolExecutor  # 3 ms of each import of fastsoftmax, for those who read files

    with ThreadPoolExecutor(1, "fastsoftmax-reader") as reader:
        coming = following = reader.submit(next, iterator, end)
        try:
            while True:
                # made when the one that comes is there, so that the reader need not wait to be told; the last one,
                # whose memory it may take, is no longer in use
                following = reader.submit(next, iterator, end)
                if (item := coming.result()) is end:
                    return
                yield item
                coming = following
        finally:
            following.cancel()
            reader.submit(getattr(iterator, "close", int))


class Room:
    """Two matrices in turn."""

    def __init__(self, n_rows: int, dtype: np.dtype[Any]) -> None:
        self._n_rows, self._dtype, self._both = n_rows, dtype, list[Array]()

    def next(self, n_rows: int, n_features: int) -> Array:
        """Some rows of the one that was used before the last; memory that is never written is never taken."""
        if len(self._both) < 2:
            self._both.append(np.empty((self._n_rows, n_features), self._dtype))
        else:
            self._both.reverse()
        return self._both[-1][:n_rows]


def put(rows: Array, out: Array | None) -> Array:
    """Copy rows into `out`, float16 widened exactly; the rows themselves if there is none."""
    if out is None:
        return rows
    if rows.dtype == np.float16 and out.dtype == np.float32 and is_ready(rows, rows.dtype) and out.flags.carray:
        widen(contiguous(rows, rows.dtype), out)
        return out
    with QUIET():
        np.copyto(out, rows, casting="unsafe")
    return out


def stacked(matrices: list[Any]) -> Any:
    """Matrices below one another, as one CSR matrix."""
    from scipy.sparse import vstack

    return matrices[0] if len(matrices) == 1 else vstack(matrices, format="csr")
