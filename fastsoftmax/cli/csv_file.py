"""A .csv file: which column has the labels, whether line 1 has names, and the numbers in it."""

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli.errors import DataError

LARGEST = 1e30  # features above would overflow when they are squared
MOST_COUNTED = 3  # as many columns, counted from 0 in line 1, may as well be a sample
SAY_WHICH = "Say which with --header yes or --header no"
Line = tuple[int, list[str]]  # its number and its cells


def read_csv(path: Path, label: str | None, header: bool | None) -> tuple[Array, list[Any]]:
    """Features and labels; a DataError says what cannot be read, in which line and column."""
    lines = _read_lines(path)
    if len(lines[0][1]) < 2:
        raise DataError("one column only: there must be features and a label, separated by commas")
    column, named = _label_column([cells for _, cells in lines], label, header)
    lines = _samples(lines, named)
    X = _features(lines, column)
    for line, cells in lines:
        if not cells[column]:
            raise DataError(f"line {line}, column {column + 1} is empty: each sample must have a label")
    labels = [cells[column] for _, cells in lines]
    if all(map(_INTEGER.fullmatch, labels)):
        return X, [int(text) for text in labels]
    if all(map(_is_number, labels)):
        check_whole(np.array(labels, np.float64))
    return X, labels


def read_csv_features(path: Path, n_features: int, label: str | None, header: bool | None) -> tuple[Array, str | None]:
    """The samples of a file with or without a column of labels, and that column's name or number if there is one."""
    lines = _read_lines(path)
    rows = [cells for _, cells in lines]
    column, named = (
        (None, _all_have_names(rows, header))
        if label is None and len(rows[0]) == n_features
        else (_label_column(rows, label, header))
    )
    left_out = None if column is None else repr(rows[0][column]) if named else f"number {column}"
    return _features(_samples(lines, named), column), left_out


def _samples(lines: list[Line], named: bool) -> list[Line]:
    if named and len(lines) == 1:
        raise DataError("line 1 has the names of the columns, and nothing follows")
    return lines[1:] if named else lines


def _features(lines: list[Line], label_column: int | None) -> Array:
    return np.array(
        [[_feature(line, j, cell) for j, cell in enumerate(cells) if j != label_column] for line, cells in lines]
    )


def _read_lines(path: Path) -> list[Line]:
    """Lines that are not empty, all of one width."""
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
    return lines


def check_whole(labels: Array) -> None:
    """Raise unless labels of a float dtype are whole numbers."""
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


def _all_have_names(rows: list[list[str]], header: bool | None) -> bool:
    """Whether line 1 of a file without labels has names; a DataError where that cannot be told."""
    first, text = rows[0], [cell for cell in rows[0] if not _is_number(cell)]
    counts_columns = first == [str(j) for j in range(len(first))]
    if header is not None or not (text or counts_columns):
        return bool(header)
    if len(text) == len(first) or (counts_columns and len(first) > MOST_COUNTED):
        return True
    raise DataError(f"line 1, {','.join(first)}, may have names or be a sample. {SAY_WHICH}")


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
