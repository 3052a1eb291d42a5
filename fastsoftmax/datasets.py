"""The data sets of the comparison: scikit-learn's, a user's .csv or .npz file, and made ones with many classes."""

import csv
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets as sklearn_datasets

from fastsoftmax._arrays import Array

BUNDLED: dict[str, Callable[..., Any]] = {
    "iris": sklearn_datasets.load_iris,
    "wine": sklearn_datasets.load_wine,
    "breast_cancer": sklearn_datasets.load_breast_cancer,
    "digits": sklearn_datasets.load_digits,
}


class DataError(ValueError):
    """A file that is not a data set; the message says what is wrong, and where."""


@dataclass(frozen=True)
class DataSet:
    """Samples X (n_samples, n_features) and their classes y (n_samples,), 0 to n_classes - 1."""

    name: str
    X: Array
    y: Array
    n_classes: int


def load(name: str, label: str | None = None) -> DataSet:
    """One of BUNDLED by its name, or a .csv or .npz file by its path.

    A .csv file may begin with a line of names; its label column is the last one, or the one named `label` (a name, or
    a position from 0). A .npz file has arrays X and y. Labels may be anything; features are finite numbers.
    """
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        return _data_set(name, X, y)
    path = Path(name)
    if path.suffix not in (".csv", ".npz"):
        raise DataError(f"{name}: not a data set: {', '.join(BUNDLED)}, or a path that ends in .csv or .npz")
    try:
        X, y = _read_csv(path, label) if path.suffix == ".csv" else _read_npz(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    return _data_set(path.stem, X, y, path)


def many_classes(n_classes: int, n_samples: int = 2048, n_features: int = 16, random_state: int = 0) -> DataSet:
    """A made data set: a cloud around a random centre for each class, float64."""
    rng = np.random.default_rng(random_state)
    y = rng.permutation(np.arange(max(n_samples, n_classes)) % n_classes)
    X = 2 * rng.standard_normal((n_classes, n_features))[y] + rng.standard_normal((len(y), n_features))
    return DataSet(f"made-{n_classes}", X, y, n_classes)


def _data_set(name: str, X: Array, labels: Array, path: Path | None = None) -> DataSet:
    where = f"{path}: " if path else ""
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        raise DataError(f"{where}sample {row}, feature {column} is {X[row, column]}: features must be finite")
    classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{where}all labels are {classes[0]}: there must be at least two classes")
    return DataSet(name, X, y, len(classes))


def _read_csv(path: Path, label: str | None) -> tuple[Array, Array]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = [
                (reader.line_num, cells)
                for reader in [csv.reader(file, skipinitialspace=True)]
                for cells in reader
                if cells
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a CSV text: {error}") from None
    if not lines:
        raise DataError(f"{path}: empty")
    width = len(lines[0][1])
    for line, cells in lines:
        if len(cells) != width:
            raise DataError(f"{path}: line {line} has {len(cells)} columns, the first has {width}")
    if width < 2:
        raise DataError(f"{path}: one column only: there must be features and a label")
    first = lines[0][1]
    column, named = _label_column(path, first, label)
    features = [j for j in range(width) if j != column]
    if named or not all(_is_number(first[j]) for j in features):
        lines = lines[1:]
    if not lines:
        raise DataError(f"{path}: line 1 has the names of the columns, and nothing follows")
    X = np.empty((len(lines), len(features)))
    for row, (line, cells) in enumerate(lines):
        for k, j in enumerate(features):
            if not _is_number(cells[j]):
                raise DataError(f"{path}: line {line}, column {j + 1} is not a number: {cells[j]!r}")
            X[row, k] = float(cells[j])
    return X, np.array([cells[column].strip() for _, cells in lines])


def _label_column(path: Path, first: list[str], label: str | None) -> tuple[int, bool]:
    """The position of the label column, and whether it was found by its name (so that line 1 is no sample)."""
    names = [name.strip() for name in first]
    if label is None:
        return len(names) - 1, False
    if label.isdecimal() and int(label) < len(names):
        return int(label), False
    if label in names:
        return names.index(label), True
    raise DataError(f"{path}: no label column {label!r}: line 1 has {', '.join(names)}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_npz(path: Path) -> tuple[Array, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in ("X", "y") if name not in arrays]
            if missing:
                raise DataError(f"{path}: no array {missing[0]}; it has {', '.join(arrays.files) or 'none'}")
            X, y = arrays["X"], arrays["y"]
    except DataError:
        raise
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a .npz file of plain arrays: {error}") from None
    if X.ndim != 2 or y.shape != X.shape[:1] or not X.size:
        raise DataError(
            f"{path}: X must have shape (n_samples, n_features) and y (n_samples,), got {X.shape}, {y.shape}"
        )
    if X.dtype.kind not in "fiub":
        raise DataError(f"{path}: X must hold real numbers, got {X.dtype}")
    return (X if X.dtype == np.float32 else X.astype(np.float64)), y
