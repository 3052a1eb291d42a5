"""Files of arrays: .npz, .svmlight (what scikit-learn reads), .parquet (what pandas reads, if it is there)."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_svmlight_file

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli.columns import Column, Features, features, features_for, raw_names
from fastsoftmax.cli.errors import DataError


def read_npz(path: Path) -> tuple[Array, Array]:
    """The arrays X and y of a file."""
    X, y = _arrays(path, ("X", "y"))
    if X.ndim != 2 or y.shape != X.shape[:1] or not X.size:
        raise DataError(f"X must have shape (n_samples, n_features) and y (n_samples,), got {X.shape}, {y.shape}")
    return _real(X), y


def read_npz_features(path: Path) -> Array:
    """The array X of a file, which need not have a y."""
    (X,) = _arrays(path, ("X",))
    if X.ndim != 2 or not X.size:
        raise DataError(f"X must have shape (n_samples, n_features), got {X.shape}")
    return _real(X)


def _arrays(path: Path, names: tuple[str, ...]) -> list[Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise DataError(f"no array {missing[0]}; it has {', '.join(arrays.files) or 'none'}")
            return [arrays[name] for name in names]
    except DataError:
        raise
    except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        raise DataError("not a .npz file of plain arrays (or a damaged one)") from None


def _real(X: Array) -> Array:
    if X.dtype.kind not in "fiub":
        raise DataError(f"X must hold real numbers, got {X.dtype}")
    return X if X.dtype == np.float32 else X.astype(np.float64)


def read_svmlight(path: Path, n_features: int | None = None) -> tuple[Any, Array]:
    """A CSR matrix and the labels; with n_features, of so many features, though the last ones may be 0 in the file.

    Features are numbered from 1, unless one of the file has the number 0.
    """
    try:
        X, y = load_svmlight_file(path, n_features=n_features)
    except (ValueError, OverflowError) as error:
        raise DataError(f"not svmlight's format, or with more features: {error}") from None
    if not all(X.shape):
        raise DataError("no samples with features")
    return X.tocsr(), y


def read_parquet(path: Path, label: str | None, drop: Sequence[str] = ()) -> tuple[Features, Any]:
    """Features and labels, the last column or the one that is named."""
    frame = _frame(path)
    position = _position_of(frame, label)
    labels = frame.iloc[:, position]
    if labels.isna().any():
        raise DataError(f"label column {frame.columns[position]!r}: row {int(labels.isna().argmax())} has no label")
    y = labels.to_numpy()
    if y.dtype.kind not in "iufb":
        y = [_text(label) for label in y]
    dropped = {_position_of(frame, name) for name in drop}
    kept = [_column(frame, j) for j in range(frame.shape[1]) if j != position and j not in dropped]
    if not kept or position in dropped:
        raise DataError("no feature is left" if position not in dropped else "--drop names the label column")
    return features(kept), y


def read_parquet_features(
    path: Path, n_features: int, label: str | None, names: Sequence[str] | None
) -> tuple[Features, str | None]:
    """The samples of a file with or without a column of labels, and that column's name if there is one."""
    frame = _frame(path)
    known = {*(names or ()), *raw_names(names or ())}
    if known & set(map(str, frame.columns)):
        columns = [
            _column(frame, j) if str(name) in known else Column(str(name), j + 1, [], [])  # that nobody looks at
            for j, name in enumerate(frame.columns)
        ]
        return features_for(columns, names or ()), None
    every = range(frame.shape[1])
    if label is None and frame.shape[1] == n_features:
        return features([_column(frame, j) for j in every]), None
    position = _position_of(frame, label)
    return features([_column(frame, j) for j in every if j != position]), repr(frame.columns[position])


def _frame(path: Path) -> Any:
    with path.open("rb"):  # an OSError that says why
        pass
    try:
        import pandas

        frame = pandas.read_parquet(path)
    except ImportError:
        raise DataError("to read .parquet files takes the packages pandas and pyarrow") from None
    except Exception as error:  # of pandas or of what it reads with, which has errors of its own
        raise DataError(f"not a .parquet file, or a damaged one: {error!s:.200}") from None
    if not all(frame.shape):
        raise DataError("empty")
    return frame


def _position_of(frame: Any, label: str | None) -> int:
    names = [str(name) for name in frame.columns]
    if label is None:
        return len(names) - 1
    if names.count(label) == 1:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names) and label not in names:
        return int(label)
    raise DataError(f"no column {label!r}, or more than one: the columns are {', '.join(names)}")


def _column(frame: Any, position: int) -> Column:
    """Numbers as float64, all else as text; what is missing as NaN, or as no text."""
    name, values, kind = frame.columns[position], frame.iloc[:, position], frame.dtypes.iloc[position].kind
    cells: Any
    if kind in "iufb":
        cells = values.to_numpy(np.float64, na_value=np.nan)
    elif kind in "mM":
        raise DataError(f"column {name!r} holds times ({frame.dtypes.iloc[position]}): leave it out with --drop")
    else:
        cells = ["" if missing else _text(value) for value, missing in zip(values, values.isna(), strict=True)]
    return Column(str(name), position + 1, cells, [f"row {row}" for row in range(len(frame))])


def _text(value: Any) -> str:
    """As text; some programs write it as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
