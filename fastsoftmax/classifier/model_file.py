"""A model as a file: a .npz of plain arrays, one of them a header in JSON; nothing in it is ever run.

`write` goes through a temporary file in the same folder, which takes the name at the end, whole and on the disk. `read`
takes nothing on trust: members must be stored as they are (no compression, so no bomb) and be no larger together than
the file; the head of an array must be as NumPy writes it, letter by letter, and is not evaluated; an array must be as
large as its member; and a digest of header and arrays, which is no signature, must fit, so that damage is told.
"""

import hashlib
import io
import json
import math
import os
import re
import zipfile
from typing import Any

import numpy as np

from fastsoftmax._files import replacing
from fastsoftmax._gate.arrays import Array

FORMAT, VERSION = "fastsoftmax.SoftmaxClassifier", 1
HEADER = "header"
_UNITS = {"b": (np.uint8, 1), "U": (np.uint32, 0x10FFFF)}  # what of, and up to what, bool and str are made
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEAD = re.compile(  # of an array: its dtype, order and shape, as numpy.lib.format writes them
    rb"\{'descr': '([<>|][biufcmMSU][1-9][0-9]{0,9}(?:\[[0-9A-Za-z/]+\])?)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, )*[0-9]{1,18},?|)\), \} *\n"
)


class ModelFormatError(ValueError):
    """The file is not a model of this package, or a damaged one.

    Examples
    --------
    >>> import os, tempfile, fastsoftmax as fs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.npz")
    ...     with open(path, "w") as file:
    ...         _ = file.write("no model")
    ...     try:
    ...         fs.SoftmaxClassifier.load(path)
    ...     except fs.ModelFormatError as error:
    ...         print("not a saved model" in str(error))
    True
    """


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Write header and arrays; whatever is at the path is replaced at the end, or stays as it is.

    Parameters
    ----------
    path : str or path-like
        Taken as it is: no .npz is added; see `replacing`.
    header : dict
        For JSON, with keys that are str; NaN and infinities may be in it, and a tuple comes back as a list.
    arrays : dict of ndarray
        Numbers, times or text; their names are identifiers other than "header".

    Raises
    ------
    TypeError
        An array of anything else, such as objects; a header that JSON cannot hold.
    ValueError
        A name that an array cannot have.
    OSError
        The file cannot be written, or what is at the path is no ordinary file.
    """
    for name, array in arrays.items():
        if name == HEADER or not _NAME.fullmatch(name):
            raise ValueError(f"an array cannot be saved by the name {name!r}")
        if array.dtype.kind not in "biufcmMSU" or array.dtype.itemsize == 0:
            kind = "objects" if array.dtype.hasobject else "neither numbers nor text"
            raise TypeError(f"{name} holds {kind} and cannot be saved, got dtype {array.dtype}")
    _check_keys(header)
    members = {name: _npy(array) for name, array in arrays.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, "header": header, "digest": _digest(header, members)})
    members[HEADER] = _npy(np.frombuffer(text.encode(), np.uint8))
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and arrays of a file that `write` has written.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    header : dict
    arrays : dict of ndarray
        Writable, in native byte order, in C or Fortran order as they were.

    Raises
    ------
    ModelFormatError
        The file is something else, or not as it was written.
    OSError
        The file cannot be read.
    """
    with open(os.fspath(path), "rb") as file:
        content = file.read()
    try:
        members = _members(content)
        told = json.loads(_array(members.pop(HEADER)).tobytes().decode())
        kind, version, header = told.get("format"), told.get("version"), told.get("header")
        if kind != FORMAT or version != VERSION:
            raise ValueError(f"its format is {kind!r}, version {version!r}, and not {FORMAT!r}, version {VERSION}")
        if not isinstance(header, dict) or told.get("digest") != _digest(header, members):
            raise ValueError("its content does not fit its digest")
        return header, {name: _array(member) for name, member in members.items()}
    except MemoryError:  # no array is larger than the file: the machine is short of memory
        raise
    except Exception as error:  # zipfile alone raises eight kinds, and more with each Python
        raise ModelFormatError(f"{path} is not a saved model, or damaged: {str(error) or repr(error):.300}") from None


def _check_keys(value: Any) -> None:
    """Raise if a dict anywhere in the value has a key that JSON would turn into a str."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"the header must have keys that are str, got {list(value)}")
        value = list(value.values())
    for item in value if isinstance(value, (list, tuple)) else ():
        _check_keys(item)


def _npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _digest(header: dict[str, Any], members: dict[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(members):
        digest.update(f"\n{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest()


def _members(content: bytes) -> dict[str, bytes]:
    """The bytes of each array, by its name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        for name, info in found.items():
            named = info.filename == f"{name}.npy" and _NAME.fullmatch(name)
            if not named or info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its member {info.filename!r} is no array, or is compressed")
        if len(found) != len(archive.infolist()) or sum(info.file_size for info in found.values()) > len(content):
            raise ValueError("it has a member twice, or one inside another")
        if HEADER not in found:
            raise ValueError(f"it has no member '{HEADER}.npy'")
        return {name: archive.read(info) for name, info in found.items()}


def _array(member: bytes) -> Array:
    """The array that the member holds, whose size is checked before there is any room for it."""
    start = 10 + int.from_bytes(member[8:10], "little")
    head = _HEAD.fullmatch(member[10:start])
    if member[:8] != b"\x93NUMPY\x01\x00" or head is None:
        raise ValueError("an array's head is not as NumPy writes it, or its dtype is not of numbers, times or text")
    dtype = np.dtype(head[1].decode())
    shape = tuple(int(n) for n in head[3].replace(b",", b" ").split())
    if math.prod(shape) * dtype.itemsize != len(member) - start:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} is not as large as it says")
    stored = np.ndarray(shape, dtype, member, start, order="F" if head[2] == b"True" else "C")
    array = stored.astype(dtype.newbyteorder("="), order="K", copy=True)
    if dtype.kind in _UNITS:  # NumPy takes what is stored for granted, and Python ends in a SystemError
        unit, largest = _UNITS[dtype.kind]
        if array.reshape(-1).view(unit).max(initial=0) > largest:
            raise ValueError(f"an array of dtype {dtype} has values that are none")
    return array
