"""A .csv file: which column has the labels, whether line 1 has names, and the columns of features."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli.columns import (
    Column,
    Features,
    distinct,
    features,
    features_for,
    is_category,
    is_number,
    raw_names,
)
from fastsoftmax.cli.csv_text import Line, read_lines
from fastsoftmax.cli.errors import DataError

MOST_COUNTED = 3  # as many columns, counted from 0 in line 1, may as well be a sample
SAY_WHICH = "Say which with --header yes or --header no"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,999}", re.ASCII)  # 01 and +1 are other labels than 1


def read_csv(
    path: Path, label: str | None, header: bool | None, drop: Sequence[str] = ()
) -> tuple[Features, list[Any]]:
    """Features and labels; a DataError says what cannot be read, in which line and column."""
    lines = read_lines(path)
    if len(lines[0][1]) < 2:
        raise DataError("one column only: there must be features and a label, separated by commas, semicolons or tabs")
    position, named = _label_column([cells for _, cells in lines], label, header)
    columns = _columns(lines, named)
    labels = list(columns[position].values)
    for row, text in enumerate(labels):
        if not text:
            raise DataError(f"{columns[position].where(row)} is empty: each sample must have a label")
    first = lines[0][1] if named else []
    dropped = {_position(columns, first, name) for name in drop}
    if position in dropped:
        raise DataError(f"--drop names the label column, {columns[position].label!r}")
    kept = [column for j, column in enumerate(columns) if j != position and j not in dropped]
    if not kept:
        raise DataError("no feature is left")
    found = features(kept)
    if dropped and found.names is None:
        found = found._replace(names=[column.label for column in kept])
    if all(map(_INTEGER.fullmatch, labels)):
        return found, [int(text) for text in labels]
    if all(map(is_number, labels)):
        check_whole(np.array(labels, np.float64), hint=" (the label is the last column, unless another is named)")
    return found, labels


def read_csv_features(
    path: Path, n_features: int, label: str | None, header: bool | None, names: Sequence[str] | None
) -> tuple[Features, str | None]:
    """The samples of a file with or without a column of labels, and that column's name or number if there is one.

    With the `names` of a model's features its columns are found by name, if the file has names.
    """
    lines = read_lines(path)
    rows = [cells for _, cells in lines]
    raw = raw_names(names or ())
    numbered = bool(raw) and all(re.fullmatch("column [0-9]+", name) for name in raw)
    if raw and not numbered and header is not False and set(raw) <= set(distinct(rows[0])):
        return features_for(_columns(lines, True), names or ()), None
    n_columns = len(raw) if raw and not numbered else n_features
    position, named = (
        (None, _all_have_names(rows, header))
        if label is None and (len(rows[0]) == n_columns or numbered)
        else (_label_column(rows, label, header))
    )
    columns = _columns(lines, named)
    if names is not None and numbered:
        return features_for([column._replace(name=None) for column in columns], names), None
    kept = [column for j, column in enumerate(columns) if j != position]
    if names is not None:
        if named:
            return features_for(columns, names), None
        if len(kept) == len(raw):
            return features_for([c._replace(name=name) for c, name in zip(kept, raw, strict=True)], names), None
    return features(kept), None if position is None else repr(rows[0][position]) if named else f"number {position}"


def _columns(lines: list[Line], named: bool) -> list[Column]:
    if named and len(lines) == 1:
        raise DataError("line 1 has the names of the columns, and nothing follows")
    samples = lines[1:] if named else lines
    places = [f"line {line}" for line, _ in samples]
    by_column = zip(*(cells for _, cells in samples), strict=True)
    names = distinct(lines[0][1]) if named else [None] * len(lines[0][1])
    return [Column(name, j, cells, places) for j, (name, cells) in enumerate(zip(names, by_column, strict=True), 1)]


def _position(columns: list[Column], first: list[str], name: str) -> int:
    """The position of a column that is named as it is called, or as line 1 has it, or by its position."""
    by_name = [j for j, column in enumerate(columns) if column.name == name or first[j : j + 1] == [name]]
    if len(by_name) == 1:
        return by_name[0]
    if not by_name and _INTEGER.fullmatch(name) and 0 <= int(name) < len(columns):
        return int(name)
    raise DataError(f"--drop {name}: no such column, or more than one: there are {', '.join(c.label for c in columns)}")


def check_whole(labels: Array, hint: str = "") -> None:
    """Raise unless labels of a float dtype are whole numbers."""
    odd = labels[~(labels == np.floor(labels))]  # NaN, too
    if odd.size:
        raise DataError(f"a label is {odd[0]}: labels must be text or whole numbers, the classes of the samples{hint}")


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
    return all(is_number(cell) for row in rows for j, cell in enumerate(row) if j != column)


def _has_names(rows: list[list[str]], column: int) -> bool:
    """Whether line 1 has names rather than a sample; a DataError where that cannot be told.

    It has if a feature there is no number, or the label is text where all others are numbers, or if the columns are
    counted, as pandas writes the names of columns that have none (and none at all above the row numbers). Columns of
    categories, which are text in any case, tell nothing unless there are no others.
    """
    first, *others = rows
    below = list(zip(*others, strict=True)) or [()] * len(first)
    of_numbers = [j for j, cells in enumerate(below) if j != column and not is_category(cells)]
    if others and not of_numbers:
        return _names_above_texts(first, below)
    features, counted = [first[j] for j in of_numbers], [str(j) for j in range(len(first))]
    labels, is_text = Counter(below[column]), not is_number(first[column])
    text = [cell for cell in features if cell and not is_number(cell)]
    if text:  # or a sample with a mark for a value that is missing
        return first[column] not in labels or len(text) == len(features)
    if features == ["", *counted[: len(features) - 1]] or (is_text and labels and all(map(is_number, labels))):
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


def _all_have_names(rows: list[list[str]], header: bool | None) -> bool:
    """Whether line 1 of a file without labels has names; a DataError where that cannot be told."""
    first, *others = rows
    below = list(zip(*others, strict=True)) or [()] * len(first)
    of_numbers = [cell for cell, cells in zip(first, below, strict=True) if not is_category(cells)]
    if header is None and not of_numbers:
        return _names_above_texts(first, below)
    text = [cell for cell in of_numbers if not is_number(cell)]
    counts_columns = first == [str(j) for j in range(len(first))]
    if header is not None or not (text or counts_columns):
        return bool(header)
    if len(text) == len(of_numbers) or (counts_columns and len(first) > MOST_COUNTED):
        return True
    raise DataError(f"line 1, {','.join(first)}, may have names or be a sample. {SAY_WHICH}")


def _names_above_texts(first: list[str], below: list[tuple[str, ...]]) -> bool:
    """Whether line 1 has names where all columns are text: none of them is below; a DataError if that may be chance."""
    again = sum(cell in cells for cell, cells in zip(first, below, strict=True))
    repeated = sum(len(set(cells)) <= len(cells) / 2 for cells in below)
    if again or (repeated >= 2 and repeated > len(first) / 2):
        return not again
    raise DataError(f"line 1, {','.join(first)}, may have names or be a sample. {SAY_WHICH}")
