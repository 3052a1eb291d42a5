"""Arrays that lie in files or in memory, read some rows at a time."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.data.source import put

PIECE = 2**20  # bytes that are read before they are converted: they are still in a cache then


class Handle:
    """The file that is being read.

    It stays open from one call to the next: so the system goes on with what it reads ahead (2.8 to 3.6 GB/s).
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: io.FileIO | None = None
        self._room = np.empty(PIECE, np.uint8)

    def read(self, path: Path, start: int, dtype: np.dtype[Any], out: Array, drops_behind: bool) -> bool:
        """Fill a C-contiguous array with what the file holds from a byte on in a dtype; False if it ends before."""
        if path != self._path or self._file is None:
            self.close()
            self._path, self._file = path, io.FileIO(path)
            if drops_behind:  # what is left of it here and there would keep the system from reading ahead: 2.7 GB/s
                os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._file.seek(start)
        flat, is_whole = out.reshape(-1), True
        if dtype == out.dtype:
            is_whole = _fill(self._file, flat)
        else:
            room = self._room[: PIECE // dtype.itemsize * dtype.itemsize].view(dtype)
            for first in range(0, flat.size, room.size):
                some = room[: flat.size - first]
                is_whole = is_whole and _fill(self._file, some)
                put(some, flat[first : first + len(some)])
        if drops_behind:  # the next pass would find nothing of it, and to make room for it takes time
            os.posix_fadvise(self._file.fileno(), start, flat.size * dtype.itemsize, os.POSIX_FADV_DONTNEED)
        return is_whole

    def close(self) -> None:
        """No more reading."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _fill(file: io.FileIO, out: Array) -> bool:
    left = out.view(np.uint8).data
    while left and (n := file.readinto(left)):
        left = left[n:]
    return not left


class Npy:
    """A .npy file.

    Attributes
    ----------
    drops_behind : whether the system is told that what was read is not needed soon
    """

    is_sparse = False

    def __init__(self, path: Path) -> None:
        self._path = path
        array = self._mapped()
        self.shape, self.dtype, self._offset = array.shape, array.dtype, array.offset
        self.n_bytes, self.drops_behind = array.nbytes, False
        self._is_plain = array.flags.c_contiguous and array.dtype.isnative and array.ndim > 0

    def __str__(self) -> str:
        return str(self._path)

    def _mapped(self) -> "np.memmap[Any, Any]":
        try:
            return np.lib.format.open_memmap(self._path, mode="r")
        except ValueError as error:
            raise ValueError(f"{self._path} cannot be read as an .npy file: {error}") from None

    def read(self, first: int, last: int, out: Array | None, handle: Handle) -> Array:
        """Some rows, into an array of their shape if one is given."""
        if not self._is_plain:
            return put(self._mapped()[first:last], out)
        rows = np.empty((last - first, *self.shape[1:]), self.dtype) if out is None else out
        start = self._offset + first * int(np.prod(self.shape[1:])) * self.dtype.itemsize
        if rows.size and not handle.read(self._path, start, self.dtype, rows, self.drops_behind):
            raise ValueError(f"{self._path} ends before its last row")
        return rows


class Npz:
    """An array, or the CSR matrix, of an .npz file."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with np.load(path, allow_pickle=False) as file:
            self.names = set(file.files)
            self.is_sparse = name == "X" and {"format", "shape", "data"} <= self.names
            if self.is_sparse:
                if file["format"].item() not in (b"csr", "csr"):
                    raise TypeError(f"{path} must hold a CSR matrix, got {file['format'].item()!r}")
                self.shape = tuple(map(int, file["shape"]))
            elif name in self.names:
                self.shape = _shape_in(file, name)
            else:
                raise ValueError(f"{path} holds no array {name}: it has {', '.join(sorted(self.names))}")
        self._whole: Any = None

    def __str__(self) -> str:
        return str(self._path)

    def read(self, first: int, last: int, out: Array | None, handle: Handle) -> Any:
        """Some rows; the file stays in memory until its last row is read."""
        if self._whole is None:
            with np.load(self._path, allow_pickle=False) as file:
                if self.is_sparse:
                    from scipy.sparse import csr_array

                    self._whole = csr_array(tuple(file[n] for n in ("data", "indices", "indptr")), shape=self.shape)
                else:
                    self._whole = file[self._name]
        rows = self._whole[first:last]
        if last == self.shape[0]:
            self._whole = None
        return rows if self.is_sparse else put(rows, out)

    def beside(self, name: str) -> "Npz":
        """Another array of the file."""
        return Npz(self._path, name)


def _shape_in(file: Any, name: str) -> tuple[int, ...]:
    with file.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape: tuple[int, ...] = read(member)[0]
        return shape


class InMemory:
    """An array that is there."""

    is_sparse = False

    def __init__(self, array: Array) -> None:
        self._array, self.shape = array, array.shape

    def read(self, first: int, last: int, out: Array | None, handle: Handle) -> Array:
        """Some rows."""
        return put(self._array[first:last], out)


Piece = Npy | Npz | InMemory
