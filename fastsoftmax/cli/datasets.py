"""The data sets of the comparison: scikit-learn's, a user's .csv or .npz file, and made ones with many classes."""

import csv
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets as sklearn_datasets

from fastsoftmax._gate.arrays import Array

BUNDLED: dict[str, Callable[..., Any]] = {
    "iris": sklearn_datasets.load_iris,
    "wine": sklearn_datasets.load_wine,
    "breast_cancer": sklearn_datasets.load_breast_cancer,
    "digits": sklearn_datasets.load_digits,
}


LARGEST = 1e30  # features above would overflow when they are squared
MOST_COUNTED = 3  # as many columns, counted from 0 in line 1, may as well be a sample
SAY_WHICH = "Say which with --header yes or --header no"


class DataError(ValueError):
    """A file that is not a data set; the message says what is wrong, and where."""


@dataclass(frozen=True)
class DataSet:
    """Samples X (n_samples, n_features) and their classes y (n_samples,), 0 to n_classes - 1."""

    name: str
    X: Array
    y: Array
    n_classes: int


def load(name: str, label: str | None = None, header: bool | None = None) -> DataSet:
    """One of BUNDLED by its name, or a .csv or .npz file by its path.

    The columns of a .csv file are separated by commas; its label column is the last one, or the one that `label` names:
    by name, or else by position from 0. `header` says whether line 1 has names; if it is None, line 1 has if `label` is
    one of them, if one of its features, or its label alone among the labels, is not a number, or if it counts the
    columns from 0; where that cannot be told, a DataError asks. Labels of a .csv file are whole numbers if all are
    written as such (0, 12, -3), and else text as it is: 01, 1 and 1.0 are three classes. A .npz file has arrays X and
    y, whose labels may be text or whole numbers. Features are finite numbers.
    """
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        return _data_set(name, X, y)
    path = Path(name).expanduser()
    kind = path.suffix.lower()
    if kind not in (".csv", ".npz"):
        raise DataError(f"{name}: not a data set: {', '.join(BUNDLED)}, or a path that ends in .csv or .npz")
    try:
        return _data_set(path.stem, *(_read_csv(path, label, header) if kind == ".csv" else _read_npz(path)))
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


def _data_set(name: str, X: Array, labels: Array | list[Any]) -> DataSet:
    """Check the values, and number the classes in the order of their labels."""
    unfit = ~(np.abs(X) < LARGEST)  # NaN, too
    if unfit.any():
        row, column = np.argwhere(unfit)[0]
        raise DataError(f"X[{row}, {column}] is {X[row, column]}: features must be finite and below {LARGEST:g}")
    if isinstance(labels, list):  # text, or integers of any size, which no dtype of NumPy holds as they are
        position = {label: c for c, label in enumerate(sorted(set(labels)))}
        classes, y = np.array(list(position), object), np.array([position[label] for label in labels], np.int64)
    else:
        if labels.dtype.kind == "f":
            _check_whole(labels)
        classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"all labels are {classes[0]}: there must be at least two classes")
    return DataSet(name, X, y, len(classes))


def _read_csv(path: Path, label: str | None, header: bool | None) -> tuple[Array, list[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        try:
            lines = [(reader.line_num, [cell.strip(" \t") for cell in cells]) for cells in reader if cells]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a CSV text: {error}") from None
    if not lines:
        raise DataError("empty")
    width = len(lines[0][1])
    for line, cells in lines:
        if any("\n" in cell or "\r" in cell for cell in cells):
            raise DataError(f"line {line} ends a cell of several lines: is there a quote that is not closed?")
        if len(cells) != width:
            raise DataError(f"line {line} has {len(cells)} columns, the first has {width}")
    if width < 2:
        raise DataError("one column only: there must be features and a label, separated by commas")
    column, named = _label_column([cells for _, cells in lines], label, header)
    if named:
        lines = lines[1:]
    if not lines:
        raise DataError("line 1 has the names of the columns, and nothing follows")
    X = np.array([[_feature(line, j, cell) for j, cell in enumerate(cells) if j != column] for line, cells in lines])
    for line, cells in lines:
        if not cells[column]:
            raise DataError(f"line {line}, column {column + 1} is empty: each sample must have a label")
    labels = [cells[column] for _, cells in lines]
    if all(map(_INTEGER.fullmatch, labels)):
        return X, [int(text) for text in labels]
    if all(map(_is_number, labels)):
        _check_whole(np.array(labels, np.float64))
    return X, labels


def _check_whole(labels: Array) -> None:
    odd = labels[~(labels == np.floor(labels))]  # NaN, too
    if odd.size:
        raise DataError(f"a label is {odd[0]}: labels must be text or whole numbers, the classes of the samples")


def _label_column(rows: list[list[str]], label: str | None, header: bool | None) -> tuple[int, bool]:
    """The position of the label column, and whether line 1 has the names of the columns. Names go before positions."""
    first, width = rows[0], len(rows[0])
    by_name = [j for j, cell in enumerate(first) if cell == label and header is not False]
    by_position = [width - 1] if label is None else []
    if label is not None and _INTEGER.fullmatch(label) and 0 <= int(label) < width:
        by_position = [int(label)]
    if not by_name + by_position:
        raise DataError(f"no label column {label!r}: line 1 has {', '.join(first)}")
    if header is None and by_name and by_position and by_name != by_position:
        if len(set(first)) < width or not _has_features(rows[1:], by_name[0]):
            by_name = []  # names do not repeat, and the features below them are numbers
        elif not _has_names(rows, by_position[0]) and _has_features(rows, by_position[0]):
            raise DataError(
                f"{label!r} stands in line 1, column {by_name[0] + 1}: it is that column's name or, if line 1 is a "
                f"sample, the position of column {by_position[0] + 1}. {SAY_WHICH}"
            )
    if len(by_name) > 1:
        raise DataError(f"{len(by_name)} columns are called {label!r}: name the label column by its position")
    column = (by_name or by_position)[0]
    if header is not None:
        return column, header
    return column, not by_position or _has_names(rows, column)


def _has_features(rows: list[list[str]], column: int) -> bool:
    """Whether all but the column are numbers."""
    return all(_is_number(cell) for row in rows for j, cell in enumerate(row) if j != column)


def _has_names(rows: list[list[str]], column: int) -> bool:
    """Whether line 1 has names rather than a sample; a DataError where that cannot be told.

    It has if a feature there is no number, or the label is text where all others are numbers, or if the columns are
    counted, as pandas writes the names of columns that have none (and none at all above the row numbers).
    """
    first, *others = rows
    features, counted = [cell for j, cell in enumerate(first) if j != column], [str(j) for j in range(len(first))]
    labels, is_text = Counter(row[column] for row in others), not _is_number(first[column])
    text = [cell for cell in features if cell and not _is_number(cell)]
    if text:  # or a sample with a mark for a value that is missing
        return first[column] not in labels or len(text) == len(features)
    if features == ["", *counted[: len(features) - 1]] or (is_text and labels and all(map(_is_number, labels))):
        return True
    if "" in features:
        return False
    if features == counted[:-1] and is_text and first[column] not in labels:
        return True
    if first == counted:
        if len(first) > MOST_COUNTED:
            return True
        raise DataError(f"line 1, {','.join(first)}, may count the columns or be a sample. {SAY_WHICH}")
    alone = first[column] not in labels and 2 * sum(n for n in labels.values() if n > 1) > len(others)
    if alone and (is_text or (len(set(first)) == len(first) and all(map(_INTEGER.fullmatch, features)))):
        raise DataError(
            f"line 1 may have names or be a sample: its label {first[column]!r} is on no other line, but its features "
            f"are numbers. {SAY_WHICH}"
        )
    return False


def _feature(line: int, column: int, cell: str) -> float:
    if not _is_number(cell):
        hint = "the label is the last column, unless another is named"
        raise DataError(f"line {line}, column {column + 1} is not a number: {cell!r} ({hint})")
    value = float(cell)
    if not abs(value) < LARGEST:
        raise DataError(f"line {line}, column {column + 1} is {cell}: features must be finite and below {LARGEST:g}")
    return value


# Python reads more as numbers: 1_5, and the digits of other scripts
_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,999}", re.ASCII)  # 01 and +1 are other labels than 1


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


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
