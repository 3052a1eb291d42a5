"""Rows in NumPy's files, or in an array that is converted run by run."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._cores import usable_memory
from fastsoftmax._gate.arrays import Array, check_dense, is_sparse
from fastsoftmax.data.pieces import Handle, InMemory, Npy, Npz, Piece
from fastsoftmax.data.source import Block, Room, Source, stacked

NUMBERS = 2**21  # that are read at a time where nobody asks for a number of rows
StrPath = str | os.PathLike[str]


def from_files(
    X: StrPath | Sequence[StrPath],
    y: StrPath | Sequence[StrPath] | ArrayLike | None = None,
    sample_weight: StrPath | Sequence[StrPath] | ArrayLike | None = None,
) -> Source:
    """Rows in NumPy's files.

    Parameters
    ----------
    X : path or sequence of paths
        .npy files of matrices; .npz files with the arrays X, y and maybe sample_weight; or .npz files by
        scipy.sparse.save_npz with CSR matrices. Their rows follow one another. Of .npy files no more is read at a time
        than is needed, an .npz file is read whole. float16 and float32 are trained in float32, all else in float64.
    y : path, sequence of paths, or array_like, optional
        .npy files, or an array of all rows; None: the .npz files hold it.
    sample_weight : path, sequence of paths, or array_like, optional
        Likewise.

    Returns
    -------
    Source
        For ``SoftmaxClassifier.fit(source)``.

    Raises
    ------
    TypeError, ValueError
        Files of another kind; rows or features that do not fit one another.

    Examples
    --------
    >>> import numpy as np, tempfile, fastsoftmax as fs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/X.npy", np.eye(4, dtype=np.float16))
    ...     fs.SoftmaxClassifier().fit(fs.data.from_files(f"{folder}/X.npy", y=[0, 0, 1, 1])).coef_.dtype
    dtype('float32')
    """
    pieces = [_piece("X", path) for path in _paths(X)]
    in_files = [p for p in pieces if isinstance(p, Npz)]
    wide = [p.shape[1] if len(p.shape) == 2 else -1 for p in pieces]
    for piece, n in zip(pieces, wide, strict=True):
        if n < 0 or n != wide[0]:
            raise ValueError(f"X must be matrices with equally many columns: {piece} has shape {piece.shape}")
    if len({p.is_sparse for p in pieces}) > 1:
        raise ValueError("X must be dense in all files or sparse in all files")
    matrix, labels = _Rows(pieces), _column("y", y, in_files)
    weights = _column("sample_weight", sample_weight, in_files)
    _check_lengths(matrix, labels, weights)
    if labels is None:
        raise ValueError("y must be given, because the files of X hold none")
    files = [piece for piece in pieces if isinstance(piece, Npy)]
    if hasattr(os, "posix_fadvise") and sum(file.n_bytes for file in files) > usable_memory():
        for file in files:
            file.drops_behind = True
    return _Stored(matrix, labels, weights)


def from_arrays(X: Any, y: Any, sample_weight: Any = None) -> Source:
    """Rows of an array in any layout and dtype, above all a memmap, which are converted a run at a time."""
    matrix, labels, weights = _Rows([InMemory(np.asarray(X))]), _rows_of("y", y), None
    if sample_weight is not None:  # one number is that of all rows, as without a memmap
        is_one = not is_sparse(sample_weight) and np.ndim(sample_weight) == 0
        weights = _rows_of("sample_weight", np.full(matrix.n_rows, sample_weight) if is_one else sample_weight)
    _check_lengths(matrix, labels, weights)
    return _Stored(matrix, labels, weights)


def _rows_of(name: str, value: Any) -> "_Rows":
    check_dense(name, value)
    array = np.asarray(value)
    if array.ndim == 0:
        raise ValueError(f"{name} must have as many rows as X, got {'None' if value is None else 'a single value'}")
    return _Rows([InMemory(array)])


def _check_lengths(X: "_Rows", y: "_Rows | None", sample_weight: "_Rows | None") -> None:
    """Raise unless y and sample_weight, where they are given, have as many rows as X."""
    for name, column in {"y": y, "sample_weight": sample_weight}.items():
        if column is not None and column.n_rows != X.n_rows:
            raise ValueError(f"{name} must have as many rows as X, {X.n_rows}, got {column.n_rows}")


def _paths(value: Any) -> list[Path]:
    if isinstance(value, (str, os.PathLike)):
        return [Path(value)]
    paths = list(value) if isinstance(value, Iterable) else []
    if not paths or not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise TypeError("X must be a path or a list of paths of .npy or .npz files")
    return [Path(path) for path in paths]


def _piece(name: str, path: Path) -> Npy | Npz:
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"{name} must be .npy or .npz files, got {str(path)!r}")
    return Npy(path) if path.suffix == ".npy" else Npz(path, name)


def _column(name: str, value: Any, in_files: list[Npz]) -> "_Rows | None":
    """The y or sample_weight of files."""
    if value is None:
        return (
            _Rows([p.beside(name) for p in in_files]) if in_files and all(name in p.names for p in in_files) else None
        )
    if isinstance(value, (str, os.PathLike)):
        return _Rows([_piece(name, Path(value))])
    if isinstance(value, (list, tuple)) and value and all(_is_file_name(v) for v in value):
        return _Rows([_piece(name, Path(v)) for v in value])
    return _Rows([InMemory(np.asarray(value))])


def _is_file_name(value: Any) -> bool:
    """Labels may be strings, too."""
    return isinstance(value, (str, os.PathLike)) and Path(value).suffix in (".npy", ".npz")


class _Rows:
    """Pieces whose rows follow one another."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self.is_sparse = pieces[0].is_sparse
        dtypes = {piece.dtype for piece in pieces if isinstance(piece, Npy)}  # of which each is read where it is wanted
        self.dtype = dtypes.pop() if len(dtypes) == 1 and all(isinstance(piece, Npy) for piece in pieces) else None
        self._ends = np.cumsum([p.shape[0] for p in pieces]).tolist()
        self.n_rows, self.shape = int(self._ends[-1]), pieces[0].shape[1:]

    def read(self, first: int, last: int, handle: Handle, out: Array | None = None) -> Any:
        """Rows first .. last; into the first rows of `out` if it is given and they are dense."""
        found: list[Any] = []
        start = 0
        for piece, end in zip(self._pieces, self._ends, strict=True):
            here, there = max(first, start), min(last, end)
            if here < there or (first == last == here == there and not found):
                place = None if out is None else out[here - first : there - first]
                found.append(piece.read(here - start, there - start, place, handle))
            start = end
        if out is not None:
            return out[: last - first]
        if len(found) == 1:
            return found[0]
        return stacked(found) if self.is_sparse else np.concatenate(found)


class _Stored(Source):
    """Rows that can be read from anywhere."""

    is_ordered = False

    def __init__(self, X: _Rows, y: _Rows, sample_weight: _Rows | None) -> None:
        self._columns = X, y, sample_weight

    @contextmanager
    def _reading(self) -> Iterator[Callable[..., Block]]:
        """A function (first, last, out, with_X) that gives rows, and keeps files open from one call to the next."""
        handles = [Handle() for _ in self._columns]

        def read(first: int, last: int, out: Array | None, with_X: bool = True) -> Block:
            y, weight = (
                None if column is None else column.read(first, last, handle)
                for column, handle in zip(self._columns[1:], handles[1:], strict=True)
            )
            return Block(self._columns[0].read(first, last, handles[0], out) if with_X else None, y, weight)

        try:
            yield read
        finally:
            for handle in handles:
                handle.close()

    def blocks(self) -> Iterator[Block]:
        """All rows."""
        X = self._columns[0]
        n_rows = max(1, NUMBERS // max(1, *X.shape)) if not X.is_sparse else 2**16
        room = Room(n_rows, X.dtype) if X.dtype is not None else None
        with self._reading() as read:
            for first in range(0, X.n_rows, n_rows):
                last = min(first + n_rows, X.n_rows)
                yield read(first, last, None if room is None else room.next(last - first, X.shape[0]))

    def runs(
        self, n_rows: int, dtype: np.dtype[Any], order: Iterable[int] | None, with_X: bool = True
    ) -> Iterator[Block]:
        """Runs of so many rows."""
        X, room = self._columns[0], Room(n_rows, dtype)
        is_dense = with_X and not X.is_sparse
        with self._reading() as read:
            for number in range(-(-X.n_rows // n_rows)) if order is None else order:
                first = int(number) * n_rows
                last = min(first + n_rows, X.n_rows)
                block = read(first, last, room.next(last - first, X.shape[0]) if is_dense else None, with_X)
                yield block if is_dense or not with_X else block._replace(X=block.X.astype(dtype, copy=False))
