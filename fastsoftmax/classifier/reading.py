"""X, y and the weights of a fit, from what a caller hands in: arrays, or a source of rows."""

import math
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastsoftmax._gate.arrays import QUIET, Array, check_regular, check_unmasked
from fastsoftmax._gate.plain import is_plain
from fastsoftmax.classifier.labels import is_soft
from fastsoftmax.classifier.options import Options, check_streams, needs_array
from fastsoftmax.classifier.samples import checked_samples
from fastsoftmax.classifier.streams import SourceStream
from fastsoftmax.data.source import Source, refuse_source


def read_data(estimator: Any, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Array, Array]:
    """X, y and the weights (n_samples,), empty if none are given."""
    refuse_source(X)
    if _is_plain(X, y) and (reset or _is_known(estimator, X)):
        estimator.n_features_in_ = X.shape[1]
        vars(estimator).pop("feature_names_in_", None)
    else:
        X, y = validate_data(
            estimator, checked_samples(X), y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32],
            order="C", multi_output=is_soft(y),
        )  # fmt: skip
    if sample_weight is None:
        return X, y, np.empty(0)
    check_unmasked("sample_weight", sample_weight)
    check_regular("sample_weight", sample_weight)
    by_row = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not by_row.any():  # pragma: no cover (scikit-learn 1.9 says so before)
        raise ValueError("sample_weight must not be all zero")
    return X, y, by_row


def _is_plain(X: Any, y: Any) -> bool:
    """Whether validate_data would hand both on as they are (it takes 50 us, an eighth of a fit of iris)."""
    if not is_plain(X) or type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iub":
        return False
    with QUIET():
        return 0 < len(X) == len(y) and X.shape[1] > 0 and math.isfinite(X.sum())  # or else scikit-learn looks closely


def _is_known(estimator: Any, X: Array) -> bool:
    """Whether the estimator was fitted to samples like these."""
    return "feature_names_in_" not in vars(estimator) and getattr(estimator, "n_features_in_", None) == X.shape[1]


def read_source(estimator: Any, options: Options, source: Source, y: Any, sample_weight: Any) -> SourceStream:
    """A source, looked at; an error where it cannot be trained on in this way."""
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"{name} must be None where X is a source of fastsoftmax.data, which brings it")
    check_streams(options)
    stream = SourceStream(source)
    validate_data(estimator, np.empty((0, stream.found.n_features)), reset=True, skip_check_array=True)
    return stream


def is_read_by_parts(X: Any, options: Options) -> bool:
    """Whether it is a memmap of which kernels would need a copy, and parts of it give the same bits as that."""
    if not isinstance(X, np.memmap) or X.ndim != 2 or (options.solver == "auto" and options.l1_ratio > 0):
        return False  # with L1 "auto" is for X by columns, whether joblib has made a memmap of it or not
    plain = X.dtype in (np.float32, np.float64) and X.dtype.isnative and X.flags.c_contiguous and X.flags.aligned
    return not plain and needs_array(options, stochastic=False) is None
