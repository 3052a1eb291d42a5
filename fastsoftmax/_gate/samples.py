"""The gate for X (n_samples, n_features): dense in any layout, a few rows at a time, or CSR.

A dense X that kernels can read is handed on whole, whoever owns it and however large. Another one (of another layout or
dtype, say a memmap of float64 for float32 weights) is copied piece by piece; pieces end where the kernels fold their
sums, so that they change no bit.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._gate.arrays import QUIET, Array, contiguous, is_ready, is_sparse, real_array
from fastsoftmax.kernels import range_and_order
from fastsoftmax.kernels.layer.passes import GROUP

PIECE_BYTES = 2**23  # of X that are copied at a time
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
_MOST_COLUMNS = np.iinfo(np.int32).max


class Samples:
    """X, checked: a dense matrix or the three arrays of a CSR matrix.

    Attributes
    ----------
    shape : (n_samples, n_features)
    dtype : of its numbers, as they were given
    arrays : what it is made of, by the names for error messages
    """

    def __init__(self, X: ArrayLike) -> None:
        self.is_sparse = is_sparse(X)
        if self.is_sparse:
            self._csr, self.dtype = _read_csr(X)
            self.shape: tuple[int, int] = X.shape  # type: ignore[union-attr]
            self.n_numbers = int(self._csr[0].size)
            self.arrays = dict(zip(("X.data", "X.indices", "X.indptr"), self._csr, strict=True))
            return
        self._dense = real_array("X", X)
        if self._dense.ndim != 2:
            raise ValueError(f"X must have shape (n_samples, n_features), got {self._dense.shape}")
        self.shape, self.dtype, self.n_numbers = self._dense.shape, self._dense.dtype, self._dense.size
        self.arrays = {"X": self._dense}

    def pieces(self, dtype: np.dtype[Any]) -> Iterator[tuple[slice, Any]]:
        """Rows, and X of those rows for kernels: a C-contiguous matrix of the dtype, or (data, indices, indptr)."""
        if self.is_sparse:
            data, indices, indptr = self._csr
            yield slice(None), (contiguous(data, dtype), indices, indptr)
        elif is_ready(self._dense, dtype):
            yield slice(None), contiguous(self._dense, dtype)
        else:
            group_bytes = max(1, GROUP * self.shape[1] * dtype.itemsize)
            step = GROUP * max(1, PIECE_BYTES // group_bytes)
            for start in range(0, self.shape[0], step):
                rows = slice(start, start + step)
                yield rows, contiguous(self._dense[rows], dtype)


def _read_csr(X: Any) -> tuple[tuple[Array, Array, Array], np.dtype[Any]]:
    """Data, indices (int32, each once in a row, and increasing) and indptr (int64); and the dtype that the data had."""
    if X.format != "csr":
        raise TypeError(f"X must be an array or in CSR format, got {X.format}: hand in X.tocsr()")
    n_rows, n_features = X.shape
    indices, indptr = np.asarray(X.indices), contiguous(X.indptr, _INT64)
    if indptr.shape != (n_rows + 1,) or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any() or indptr[-1] > indices.size:
        raise ValueError("X is not a CSR matrix: X.indptr must rise from 0 to the number of its elements")
    if n_features > _MOST_COLUMNS:
        raise ValueError(f"X must have at most {_MOST_COLUMNS} columns, got {n_features}")
    data = real_array("X.data", X.data)
    if data.size < indptr[-1]:
        raise ValueError(f"X is not a CSR matrix: X.data has {data.size} elements of {indptr[-1]}")
    data, indices = data[: indptr[-1]], indices[: indptr[-1]]  # there may be spare room behind
    if not indices.size:
        return (data, contiguous(indices, _INT32), indptr), data.dtype
    low, high, rising = range_and_order(contiguous(indices, _INT32 if indices.dtype == _INT32 else _INT64), indptr)
    if low < 0 or high >= n_features:
        bad = int(((indices < 0) | (indices >= n_features)).argmax())
        columns = f"a column, 0 to {n_features - 1}" if n_features else "a column: there are none"
        raise ValueError(f"X is not a CSR matrix: X.indices[{bad}] = {indices[bad]} is not {columns}")
    narrow = contiguous(indices, _INT32)
    return (data, narrow, indptr) if rising else _in_order(data, narrow, indptr), data.dtype


def _in_order(data: Array, indices: Array, indptr: Array) -> tuple[Array, Array, Array]:
    """The same matrix with rising indices in each row: what is named twice is added up, in float64."""
    n_rows = len(indptr) - 1
    rows = np.repeat(np.arange(n_rows), np.diff(indptr))
    in_order = np.lexsort((indices, rows))
    rows, indices, data = rows[in_order], indices[in_order], data[in_order]
    is_new = np.append(True, (indices[1:] != indices[:-1]) | (rows[1:] != rows[:-1]))
    if is_new.all():
        return data, indices, indptr
    starts = np.flatnonzero(is_new)
    with QUIET():
        sums = np.add.reduceat(data.astype(np.float64), starts)
    indptr = np.searchsorted(rows[starts], np.arange(n_rows + 1)).astype(_INT64)
    return sums, indices[starts], indptr
