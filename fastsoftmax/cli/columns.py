"""From the columns of a table to features: numbers as they are, text one-hot, and the same columns again for a model.

The feature of a category has the name of its column and its text: colour=red. A model keeps the names of its features,
by which its columns are found in another file, in whatever order they are there.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli.errors import DataError

LARGEST = 1e30  # features above would overflow when they are squared
MOST_CATEGORIES = 100  # in a column; more are names of samples, or free text
MISSING = {"", "?", "na", "n/a", "#n/a", "nan", "null"}  # in whatever case

# Python reads more as numbers: 1_5, and the digits of other scripts
_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
# 1,234.5  1'234  12 %  $5: numbers to people
_LIKE_NUMBER = re.compile(r"[$€£]?[+-]?[0-9][0-9.,' ]*[%$€£]?", re.ASCII)


class Column(NamedTuple):
    """A column of a table; number counts from 1, and places says where each value stands ("line 3")."""

    name: str | None
    number: int
    values: Sequence[str] | Array
    places: Sequence[str]

    @property
    def label(self) -> str:
        """Its name, or "column 2" where the file has no names."""
        return f"column {self.number}" if self.name is None else self.name

    def where(self, row: int) -> str:
        """Of a value, for an error."""
        return f"{self.places[row]}, column {self.number}{'' if self.name is None else f' ({self.name})'}"


class Features(NamedTuple):
    """A matrix, the names of its columns (None: neither names nor categories), and what is to be told of them."""

    X: Array
    names: list[str] | None
    notes: list[str]


def is_number(cell: str) -> bool:
    """Whether it is a number as computers write them."""
    return _NUMBER.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    """Whether it stands for no value."""
    return cell.strip().casefold() in MISSING


def is_category(cells: Iterable[str]) -> bool:
    """Whether what is there is all text. A single number makes a column one of numbers, in which text is an error."""
    texts = 0
    for cell in cells:
        if not is_missing(cell):
            if is_number(cell) or _LIKE_NUMBER.fullmatch(cell):
                return False  # mostly at once
            texts += 1
    return texts > 0


def distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: of several that are alike the later ones get a number, as pandas gives it, a.1."""
    given: list[str] = []
    seen, taken = set(), set(names)
    for name in names:
        again = name if name not in seen else next(n for k in itertools.count(1) if (n := f"{name}.{k}") not in taken)
        seen.add(name)
        taken.add(again)
        given.append(again)
    return given


def features(columns: Sequence[Column]) -> Features:
    """Numbers as they are, and a column of 0 and 1 for each text of a category.

    Raises
    ------
    DataError
        A value is missing, no number where others are, not finite; too many texts for a category; a feature that has
        the name of another.
    """
    blocks, names, notes = [], [], []
    for column in columns:
        if isinstance(column.values, np.ndarray) or not is_category(column.values):
            blocks.append(_numbers(column)[:, None])
            names.append(column.label)
            continue
        texts = sorted(set(_present(column)))
        if len(texts) > MOST_CATEGORIES:
            raise DataError(
                f"column {column.label!r} has {len(texts)} different texts, a category {MOST_CATEGORIES} at the most: "
                "leave it out with --drop, unless it has the labels (--label)"
            )
        blocks.append(_one_hot(column, texts))
        names += [f"{column.label}={text}" for text in texts]
        shown = ", ".join(texts[:4]) + (", ..." if len(texts) > 4 else "")
        hint = "; no two samples share one: --drop leaves it out" if len(texts) == len(column.values) else ""
        notes.append(f"column {column.label!r} is a category of {len(texts)}: {shown} (one feature each){hint}")
    named = any(column.name is not None for column in columns) or len(names) > len(columns)
    twice = [name for k, name in enumerate(names) if name in names[:k]] if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"two features would be called {twice[0]!r}: give a column another name, or leave it out")
    return Features(np.hstack(blocks), names if named else None, notes)


def features_for(columns: Sequence[Column], names: Sequence[str]) -> Features:
    """The features that a model has the names of, in its order, whatever other columns there are.

    Raises
    ------
    DataError
        A column is missing, or a text is none of those that the model knows.
    """
    found = {column.label: column for column in columns}
    blocks: list[Array] = []
    used: set[str] = set()
    for label, texts in _grouped(names, found):
        used.add(label)
        if texts is None:
            blocks.append(_numbers(found[label])[:, None])
            continue
        column = found[label]
        for row, text in enumerate(_present(column)):
            if text not in texts:
                known = ", ".join(texts[:6]) + (", ..." if len(texts) > 6 else "")
                raise DataError(f"{column.where(row)} is {text!r}: the model knows {known}")
        blocks.append(_one_hot(column, texts))
    left_out = [column.label for column in columns if column.label not in used]
    return Features(np.hstack(blocks), list(names), [f"left out: {', '.join(left_out)}"] if left_out else [])


def raw_names(names: Sequence[str]) -> list[str]:
    """The columns that features of these names come from, if no column has a = in its name."""
    return list(dict.fromkeys(name.partition("=")[0] for name in names))


def _grouped(names: Sequence[str], found: dict[str, Column]) -> list[tuple[str, list[str] | None]]:
    """The columns in the order of the features, each with the texts of its category, or None for numbers."""
    groups: list[tuple[str, list[str] | None]] = []
    for name in names:
        if name in found:
            groups.append((name, None))
            continue
        label = max((c for c in found if name.startswith(f"{c}=")), key=len, default=None)
        if label is None:
            raise DataError(
                f"no column {name.partition('=')[0]!r}, which the model knows: there are {', '.join(found)}"
            )
        text = name[len(label) + 1 :]
        if groups and groups[-1][0] == label and groups[-1][1] is not None:
            groups[-1][1].append(text)
        else:
            groups.append((label, [text]))
    return groups


def _numbers(column: Column) -> Array:
    if isinstance(column.values, np.ndarray):
        values = column.values.astype(np.float64)
    else:
        values = np.array([_number(column, row, cell) for row, cell in enumerate(column.values)])
    unfit = ~(np.abs(values) < LARGEST)  # NaN, too
    if unfit.any():
        row = int(unfit.argmax())
        if np.isnan(values[row]):
            raise _missing(column, row, str(column.values[row]))
        raise DataError(f"{column.where(row)} is {column.values[row]}: features must be finite and below {LARGEST:g}")
    return values


def _number(column: Column, row: int, cell: str) -> float:
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if is_missing(cell):
        raise _missing(column, row, cell)
    raise DataError(
        f"{column.where(row)} is not a number: {cell!r} (the label is the last column, unless another is named)"
    )


def _missing(column: Column, row: int, cell: str) -> DataError:
    return DataError(f"{column.where(row)} is missing: {cell!r}. Fill it in, or leave the sample or the column out")


def _present(column: Column) -> Sequence[str]:
    """Its texts, none of them missing."""
    texts = [str(value) for value in column.values]
    for row, text in enumerate(texts):
        if is_missing(text):
            raise DataError(
                f"{column.where(row)} is missing: {text!r}. Fill it in, or leave the sample or the column out"
            )
    return texts


def _one_hot(column: Column, texts: Sequence[str]) -> Any:
    position = {text: k for k, text in enumerate(texts)}
    return np.eye(len(texts))[[position[str(value)] for value in column.values]]
