"""A model as a file: a .npz of plain arrays, one of them a header in JSON; nothing in it is ever run.

`write` goes through a temporary file in the same folder, which takes the name at the end, whole and on the disk. `read`
takes nothing on trust: members must be stored as they are (no compression, so no bomb), arrays must be as large as
their members, and a digest over all of it must fit, so that a change of a single bit is told.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import secrets
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from fastsoftmax._arrays import Array

FORMAT, VERSION = "fastsoftmax.SoftmaxClassifier", 1
HEADER = "header"
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.npy")
_ENCRYPTED = 1  # the bit of a member's flags
# What a file that is no such model can bring zipfile, numpy.lib.format and json to raise
_TROUBLE = (
    zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, struct.error, SyntaxError, MemoryError,
    OverflowError, NotImplementedError, RuntimeError, AttributeError, IndexError,
)  # fmt: skip


class ModelFormatError(ValueError):
    """The file is not a model of this package, or a damaged one."""


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Write header and arrays; whatever is at the path is replaced at the end, or stays as it is.

    Parameters
    ----------
    path : str or path-like
        Taken as it is: no .npz is added.
    header : dict
        For JSON; not a number and infinities may be in it.
    arrays : dict of ndarray
        No objects.

    Raises
    ------
    TypeError
        An array of objects.
    OSError
        The file cannot be written.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds objects, which cannot be saved, got dtype {array.dtype}")
    members = {name: _npy(array) for name, array in arrays.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, "header": header, "digest": _digest(header, members)})
    members[HEADER] = _npy(np.frombuffer(text.encode(), np.uint8))
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, content in members.items():
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and arrays of a file that `write` has written.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    ModelFormatError
        The file is something else, or not as it was written.
    OSError
        The file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        members = _members(content)
        told = json.loads(_array(HEADER, members.pop(HEADER)).tobytes().decode())
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise ModelFormatError(f"{path} has format {told['format']!r}, version {told['version']!r}")
        if told["digest"] != _digest(told["header"], members):
            raise ModelFormatError(f"{path} was altered")
        return told["header"], {name: _array(name, member) for name, member in members.items()}
    except ModelFormatError:
        raise
    except _TROUBLE as error:
        raise ModelFormatError(f"{path} is not a saved SoftmaxClassifier, or damaged: {error}") from None


def _npy(array: Array) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _digest(header: dict[str, Any], members: dict[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(members):
        digest.update(f"\n{name} {len(members[name])}\n".encode() + members[name])
    return digest.hexdigest()


def _members(content: bytes) -> dict[str, bytes]:
    """The bytes of each array, by its name."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if not _MEMBER.fullmatch(info.filename) or name in found:
                raise ModelFormatError(f"the file has a member {info.filename!r}, or has it twice")
            plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ENCRYPTED
            if not plain or info.file_size != info.compress_size or info.file_size > len(content):
                raise ModelFormatError(f"the file's member {info.filename!r} is not stored as it is")
            found[name] = archive.read(info)
    return found


def _array(name: str, member: bytes) -> Array:
    """The array that the member holds, whose size is checked before there is any room for it."""
    file = io.BytesIO(member)
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran_order, dtype = read_header(file)
    start = file.tell()
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise ModelFormatError(f"array {name!r} is not of plain numbers or text, but of {dtype}")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(member) - start:
        raise ModelFormatError(f"array {name!r} is not as large as it says")
    array = np.ndarray(shape, dtype, member[start:], order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="K", copy=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, where the system can do that for a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
