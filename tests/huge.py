"""More than 2^31 elements, where positions do not fit into 32 bits: `python tests/huge.py` takes 9 GB and a minute.

Rows are all alike but for some near the ends and near element 2^31, so that a position that has lost its upper bits
would show. Each result must have the bits of the same rows by themselves.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastsoftmax as fs

ELEMENTS = 2**31
CHECKED = 2**24  # elements at a time


def rows_of(n_columns: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A float32 matrix of more than 2^31 elements; the row that most are; which are others."""
    n_rows = ELEMENTS // n_columns + 5
    common = np.linspace(-3, 3, n_columns, dtype=np.float32)
    array = np.empty((n_rows, n_columns), np.float32)
    array[...] = common
    others = [0, 1, n_rows // 2, n_rows - 6, n_rows - 5, n_rows - 4, n_rows - 1]
    for k, row in enumerate(others):
        array[row] = common[::-1] * (k + 1) / 3
    return array, common, others


def differs(result: np.ndarray, common: np.ndarray, others: dict[int, np.ndarray]) -> str | None:
    """Where a result is not what these rows are by themselves."""
    for row, expected in others.items():
        if not np.array_equal(result[row], expected):
            return f"row {row}: {result[row][:3]}, not {expected[:3]}"
        result[row] = common
    step = max(1, CHECKED // max(1, common.size))
    for start in range(0, len(result), step):
        if not (result[start : start + step] == common).all():
            return f"in the rows from {start}"
    return None


def maps() -> Iterator[tuple[str, Callable[[], str | None]]]:
    """In place, along the last axis."""

    def of(name: str, n_columns: int) -> str | None:
        array, common, others = rows_of(n_columns)
        function = getattr(fs, name)
        expected = {row: function(array[row]) for row in others}
        function(array, out=array)
        return differs(array, function(common), expected)

    for name, n_columns in (("softmax", 1024), ("softmax", 3), ("log_softmax", 10)):
        yield f"{name} of rows of {n_columns}", lambda name=name, n=n_columns: of(name, n)


def one_row() -> str | None:
    """The sum of a single row of that length (softmax would take as much memory again for exp)."""
    array = np.zeros(ELEMENTS + 9, np.float32)
    array[-3:] = 20
    want = np.log(len(array) - 3 + 3 * np.exp(20.0))
    got = float(fs.logsumexp(array))
    return None if abs(got - want) < 1e-5 else f"logsumexp {got}, not {want}"


def columns() -> str | None:
    """Along the first axis, of 3 rows: each column by itself."""
    array = np.empty((3, ELEMENTS // 3 + 7), np.float32)
    array[...] = np.float32([[0.0], [1.0], [-2.0]])
    array[:, -2] = 5, 0, 5
    expected = fs.softmax(array[:, -5:].copy(), axis=0)
    fs.softmax(array, axis=0, out=array)
    if not np.array_equal(array[:, -5:], expected):
        return f"{array[:, -5:]}, not {expected}"
    return None if (array[:, :-5] == expected[:, :1]).all() else "in the columns before"


def layer() -> str | None:
    """X of so many elements that takes no memory, because its rows are one: mean loss and gradient are that row's."""
    rng = np.random.default_rng(0)
    row, weight = rng.standard_normal((1, 64)).astype("f4"), rng.standard_normal((5, 64)).astype("f4") / 4
    X = np.broadcast_to(row, (ELEMENTS // 64 + 300, 64))
    labels = np.full(len(X), 3)
    loss, grads = fs.linear_cross_entropy_value_and_grad(X, weight, None, labels)
    want, right = fs.linear_cross_entropy_value_and_grad(row, weight, None, labels[:1])
    off = np.abs(grads.weight - right.weight).max()
    if abs(loss - want) > 1e-5 * want or off > 1e-2:  # a sum of 33 million float32
        return f"loss {loss}, not {want}, or a gradient that is off by {off}"
    best = fs.linear_argmax(X, weight)
    return None if (best == fs.linear_argmax(row, weight)[0]).all() else "linear_argmax"


def logits() -> str | None:
    """So many logits of a layer of one feature."""
    n_rows = ELEMENTS // 8 + 11
    X, weight = np.ones((n_rows, 1), np.float32), np.arange(8, dtype=np.float32)[:, None]
    X[-4:] = 2
    result = fs.linear_softmax(X, weight)
    common, last = fs.softmax(weight[:, 0]), fs.softmax(2 * weight[:, 0])
    return differs(result, common, {n_rows - k: last for k in range(1, 5)})


def main() -> int:
    """Run each that is named, or all; 1 if one is wrong."""
    checks: dict[str, Callable[[], Any]] = dict(maps())
    for function in (one_row, columns, layer, logits):
        checks[function.__name__.replace("_", " ")] = function
    wrong = 0
    for name, check in checks.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        start = time.perf_counter()
        found = check()
        wrong += found is not None
        print(f"{name}: {found or 'right'} ({time.perf_counter() - start:.0f} s)", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
