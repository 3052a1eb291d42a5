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


LARGEST = 1e30  # features above would overflow when they are squared


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

    The columns of a .csv file are separated by commas; its label column is the last one, or the one that `label` names
    (by name, or by position from 0). Line 1 has names, and no sample, if `label` is one of them, or if one of its
    features, or its label alone among the labels, is not a number. A .npz file has arrays X and y. Labels may be text
    or whole numbers; features are finite numbers.
    """
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        return _data_set(name, X, y)
    path = Path(name).expanduser()
    readers = {".csv": lambda: _read_csv(path, label), ".npz": lambda: _read_npz(path)}
    if path.suffix.lower() not in readers:
        raise DataError(f"{name}: not a data set: {', '.join(BUNDLED)}, or a path that ends in .csv or .npz")
    try:
        X, y = readers[path.suffix.lower()]()
        return _data_set(path.stem, X, y)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def many_classes(n_classes: int, n_samples: int = 2048, n_features: int = 16, random_state: int = 0) -> DataSet:
    """A made data set: a cloud around a random centre for each class, float64."""
    rng = np.random.default_rng(random_state)
    y = rng.permutation(np.arange(max(n_samples, n_classes)) % n_classes)
    X = 2 * rng.standard_normal((n_classes, n_features))[y] + rng.standard_normal((len(y), n_features))
    return DataSet(f"made-{n_classes}", X, y, n_classes)


def _data_set(name: str, X: Array, labels: Array) -> DataSet:
    """Check the values, and number the classes in the order of their labels."""
    unfit = ~(np.abs(X) < LARGEST)  # NaN, too
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        raise DataError(f"X[{row}, {column}] is {X[row, column]}: features must be finite and below {LARGEST:g}")
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        odd = labels[labels != np.floor(labels)][0]
        raise DataError(f"a label is {odd}: labels must be text or whole numbers, the classes of the samples")
    classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"all labels are {classes[0]}: there must be at least two classes")
    return DataSet(name, X, y, len(classes))


def _read_csv(path: Path, label: str | None) -> tuple[Array, Array]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        try:
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a CSV text: {error}") from None
    if not lines:
        raise DataError("empty")
    width = len(lines[0][1])
    for line, cells in lines:
        if len(cells) != width:
            raise DataError(f"line {line} has {len(cells)} columns, the first has {width}")
    if width < 2:
        raise DataError("one column only: there must be features and a label, separated by commas")
    column, named = _label_column(lines[0][1], label)
    if named or _is_header([cells for _, cells in lines], column):
        lines = lines[1:]
    if not lines:
        raise DataError("line 1 has the names of the columns, and nothing follows")
    X = np.array([[_feature(line, j, cell) for j, cell in enumerate(cells) if j != column] for line, cells in lines])
    for line, cells in lines:
        if not cells[column]:
            raise DataError(f"line {line}, column {column + 1} is empty: each sample must have a label")
    labels = [cells[column] for _, cells in lines]
    return X, np.array([float(text) for text in labels] if all(map(_is_number, labels)) else labels)


def _is_header(rows: list[list[str]], column: int) -> bool:
    """Whether the first row has names: a feature that is text, or a label that is text where all others are numbers."""
    first, *others = rows
    if any(cell and not _is_number(cell) for j, cell in enumerate(first) if j != column):
        return True
    return bool(others) and not _is_number(first[column]) and all(_is_number(cells[column]) for cells in others)


def _feature(line: int, column: int, cell: str) -> float:
    if not _is_number(cell):
        hint = "the label is the last column, unless another is named"
        raise DataError(f"line {line}, column {column + 1} is not a number: {cell!r} ({hint})")
    value = float(cell)
    if not abs(value) < LARGEST:
        raise DataError(f"line {line}, column {column + 1} is {cell}: features must be finite and below {LARGEST:g}")
    return value


def _label_column(names: list[str], label: str | None) -> tuple[int, bool]:
    """The position of the label column, and whether it was found by its name (so that line 1 is no sample)."""
    if label is None:
        return len(names) - 1, False
    if label.isdecimal() and int(label) < len(names):
        return int(label), False
    if label in names:
        return names.index(label), True
    raise DataError(f"no label column {label!r}: line 1 has {', '.join(names)}")


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
                raise DataError(f"no array {missing[0]}; it has {', '.join(arrays.files) or 'none'}")
            X, y = arrays["X"], arrays["y"]
    except DataError:
        raise
    except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        raise DataError("not a .npz file of plain arrays (or a damaged one)") from None
    if X.ndim != 2 or y.shape != X.shape[:1] or not X.size:
        raise DataError(f"X must have shape (n_samples, n_features) and y (n_samples,), got {X.shape}, {y.shape}")
    if X.dtype.kind not in "fiub":
        raise DataError(f"X must hold real numbers, got {X.dtype}")
    return (X if X.dtype == np.float32 else X.astype(np.float64)), y
