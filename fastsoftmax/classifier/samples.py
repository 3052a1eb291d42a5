"""What X of a classifier goes through before scikit-learn's validation."""

from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import check_unmasked, is_sparse
from fastsoftmax._gate.samples import Samples


def checked_samples(X: Any) -> Any:
    """X as scikit-learn's validation is to see it: none of it masked, a CSR matrix checked, native byte order, float16
    as float32.

    To convert a CSR matrix, SciPy sorts the caller's own, adds up what is named twice, and writes beyond its arrays if
    indptr is none; scikit-learn would refuse NaN in the spare room behind its elements, and make float64 of float32 in
    another byte order.
    """
    check_unmasked("X", X)
    if is_sparse(X) and X.format == "csr":
        Samples(X)
        dtype, size = _native(X.data.dtype), int(X.indptr[-1])
        if X.data.dtype == dtype and X.data.size == X.indices.size == size:
            return X
        return type(X)((X.data[:size].astype(dtype, copy=False), X.indices[:size], X.indptr), shape=X.shape)
    if isinstance(X, np.ndarray) and X.dtype.kind == "f" and (X.itemsize == 2 or not X.dtype.isnative):
        return X.astype(_native(X.dtype))
    return X


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for float16 and float32 of any byte order, float64 for all else."""
    return np.dtype(np.float32) if dtype.kind == "f" and dtype.itemsize <= 4 else np.dtype(np.float64)
