"""Data sets: scikit-learn's, a user's file (.csv, .npz, .svmlight, .parquet), and made ones with many classes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn import datasets as sklearn_datasets
from sklearn.model_selection import train_test_split

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli import other_files
from fastsoftmax.cli.arguments import FILES, WITH_COLUMNS
from fastsoftmax.cli.columns import LARGEST, Features
from fastsoftmax.cli.csv_file import check_whole, read_csv, read_csv_features
from fastsoftmax.cli.errors import DataError

BUNDLED: dict[str, Callable[..., Any]] = {
    "iris": sklearn_datasets.load_iris,
    "wine": sklearn_datasets.load_wine,
    "breast_cancer": sklearn_datasets.load_breast_cancer,
    "digits": sklearn_datasets.load_digits,
}


@dataclass(frozen=True)
class DataSet:
    """Samples X (n_samples, n_features), dense or CSR, and their positions y (n_samples,) in classes (n_classes,).

    Of a file with names or categories, feature_names too; notes are to be told.
    """

    name: str
    X: Any
    y: Array
    classes: Array
    feature_names: list[str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """How many there are."""
        return len(self.classes)


def load(name: str, label: str | None = None, header: bool | None = None, drop: Sequence[str] = ()) -> DataSet:
    """One of BUNDLED by its name, or a file by its path.

    The columns of a .csv file are separated by commas, or by semicolons, tabs or bars; then numbers may have decimal
    commas. Columns of text are categories, one-hot. Those that `drop` names are left out. The label column is the last
    one, or the one that `label` names: by name, or else by position from 0. `header` says whether line 1 has names; if
    it is None, line 1 has if `label` is one of them, if a feature of numbers, or its label alone among the labels, is
    not a number, or if it counts the columns from 0; where that cannot be told, a DataError asks. Labels of a .csv file
    are whole numbers if all are written as such (0, 12, -3), and else text as it is: 01, 1 and 1.0 are three classes. A
    .npz file has arrays X and y, whose labels may be text or whole numbers. Features are finite numbers. A .svmlight
    file gives a CSR matrix; of a .parquet file, which pandas reads, the columns are as of a .csv file.
    """
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        return _data_set(name, X, y)
    path, kind = _path(name)
    with _told_of(path):
        if kind == ".csv":
            return _with_names(path.stem, *read_csv(path, label, header, drop))
        if kind == ".npz":
            return _data_set(path.stem, *other_files.read_npz(path))
        if kind == ".svmlight":
            return _data_set(path.stem, *other_files.read_svmlight(path))
        return _with_names(path.stem, *other_files.read_parquet(path, label, drop))


def load_features(
    name: str,
    n_features: int,
    label: str | None = None,
    header: bool | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Any, list[str]]:
    """Samples for a model of so many features, (n_samples, n_features), and what is to be told of them.

    Of a file with names the columns that the model has the `names` of are taken. Otherwise, without `label`, a file
    whose columns are as many as the features has none of labels; of other files they are the last one, as for `load`.
    """
    left_out, notes = None, []
    path, kind = (Path(name), "") if name in BUNDLED else _path(name)
    with _told_of(path):
        if name in BUNDLED:
            X = BUNDLED[name](return_X_y=True)[0]
        elif kind in WITH_COLUMNS:
            found, left_out = (
                read_csv_features(path, n_features, label, header, names)
                if kind == ".csv"
                else other_files.read_parquet_features(path, n_features, label, names)
            )
            X, notes = found.X, found.notes
        elif kind == ".npz":
            X = other_files.read_npz_features(path)
        else:
            X = other_files.read_svmlight(path, n_features)[0]
        if X.shape[1] != n_features:
            besides = "" if left_out is None else f" besides the label column {left_out}"
            raise DataError(f"{X.shape[1]} features{besides}, but the model has {n_features}")
        _check_finite(X)
    if left_out is not None and label is None:
        notes = [*notes, f"the last column, {left_out}, is left out as labels; --label names another"]
    return X, notes


def many_classes(n_classes: int, n_samples: int = 2048, n_features: int = 16, random_state: int = 0) -> DataSet:
    """A made data set: a cloud around a random centre for each class, float64."""
    rng = np.random.default_rng(random_state)
    y = rng.permutation(np.arange(max(n_samples, n_classes)) % n_classes)
    X = 2 * rng.standard_normal((n_classes, n_features))[y] + rng.standard_normal((len(y), n_features))
    return DataSet(f"made-{n_classes}", X, y, np.arange(n_classes))


def split(data: DataSet, n_test: int, random_state: int) -> tuple[Array, Array]:
    """Rows for training and n_test for testing, with every class in both where there are samples enough."""
    n_train = len(data.y) - n_test
    fair = np.bincount(data.y).min() >= 2 and n_test >= data.n_classes and n_train >= data.n_classes
    rows, held = train_test_split(
        np.arange(len(data.y)), test_size=n_test, random_state=random_state, stratify=data.y if fair else None
    )
    if (data.y[rows] == data.y[rows[0]]).all():  # there is nothing to learn from one class
        other = (data.y[held] != data.y[rows[0]]).argmax()
        rows[0], held[other] = held[other], rows[0]
    return rows, held


def _path(name: str) -> tuple[Path, str]:
    """The path of a file, and what kind of file it is."""
    path = Path(name).expanduser()
    kind = path.suffix.lower()
    if kind not in FILES:
        ends = f"{', '.join(FILES[:-1])} or {FILES[-1]}"
        raise DataError(f"{name}: not a data set: {', '.join(BUNDLED)}, or a path that ends in {ends}")
    return path, kind


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _with_names(name: str, found: Features, labels: Array | list[Any]) -> DataSet:
    return replace(_data_set(name, found.X, labels), feature_names=found.names, notes=tuple(found.notes))


def _data_set(name: str, X: Any, labels: Array | list[Any]) -> DataSet:
    """Check the values, and number the classes in the order of their labels."""
    _check_finite(X)
    if isinstance(labels, list):  # text, or integers of any size, which no dtype of NumPy holds as they are
        position = {label: c for c, label in enumerate(sorted(set(labels)))}
        classes, y = _plain_classes(list(position)), np.array([position[label] for label in labels], np.int64)
    else:
        _check_kind(labels)
        if labels.dtype.kind in "SmM":  # bytes and times, which JSON does not have
            labels = labels.astype(np.str_)
        if labels.dtype.kind == "f":
            check_whole(labels)
            if np.abs(labels).max(initial=0) < 2**53:
                labels = labels.astype(np.int64)
        classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"all labels are {classes[0]}: there must be at least two classes")
    return DataSet(name, X, y, classes)


def _check_kind(labels: Array) -> None:
    """Raise unless labels are numbers, text or times."""
    if labels.dtype.kind not in "iufbUSmM":
        raise DataError(f"labels must be text or whole numbers, got {labels.dtype}")
    if labels.dtype.kind in "mM" and (missing := np.isnat(labels)).any():
        raise DataError(f"y[{int(missing.argmax())}] is NaT: each sample must have a label")


def _plain_classes(labels: list[Any]) -> Array:
    """int64; or text, as which integers go that are too large."""
    if isinstance(labels[0], int) and all(abs(label) < 2**63 for label in labels):
        return np.array(labels, np.int64)
    return np.array([str(label) for label in labels], object)


def _check_finite(X: Any) -> None:
    values = X.data if issparse(X) else X
    unfit = ~(np.abs(values) < LARGEST)  # NaN, too
    if unfit.any():
        at = np.argwhere(unfit)[0]
        row, column = (X.tocoo().coords[k][at[0]] for k in range(2)) if issparse(X) else at
        raise DataError(f"X[{row}, {column}] is {values[tuple(at)]}: features must be finite and below {LARGEST:g}")
