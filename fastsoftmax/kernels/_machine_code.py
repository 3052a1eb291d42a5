"""Where machine code is kept from process to process, and whose code is loaded.

One file a function and signature, named by everything that the code depends on: the text of all kernel files as they
were when this process imported them, the versions of Numba, llvmlite and Python, the CPU and the argument types. A
changed source or machine therefore asks for another file: stale code cannot be run. There is no index that processes
could race for; files appear by an atomic rename and carry a checksum of name and content, and whatever goes wrong with
them means one more compilation, never an error.

A file is unpickled, so that whoever wrote it can run anything in this process. Two places are read:

- a folder of this user's: `fastsoftmax` in the user's cache, or `fastsoftmax-machine-code` in NUMBA_CACHE_DIR, made
  with mode 0700. One that belongs to another user, or that others may write, is not used, which a warning says once.
- beside the package, what its installer put there (`fastsoftmax warmup --beside-package`): a folder that no name of a
  module can stand for, so that nothing that can be imported is left when the package is uninstalled.

In both a file is loaded only if this user, root or the owner of the package wrote it and nobody else may. (On Windows
files have no such owner and mode, and this is not looked at.)
"""

import contextlib
import functools
import hashlib
import importlib.resources
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import warnings
from pathlib import Path

import llvmlite
import numba
import platformdirs
from numba.core import caching, compiler, config, serialize
from numba.core.runtime import rtsys

PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = "fastsoftmax-machine-code"
BESIDE_PACKAGE = PACKAGE.parent / FOLDER
KEPT = 4  # of the versions, and of each version's sources, those that were used last
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class MachineCode(caching._Cache):
    """The compiled signatures of one function, on disk (the interface that a Numba dispatcher asks for)."""

    def __init__(self, name):
        self._name = name

    @property
    def cache_path(self):
        return str(next(iter(_to_read()), ""))

    def load_overload(self, sig, target_context):
        with contextlib.suppress(Exception):
            # What ready code needs of the target. Its refresh() would also load what only a compilation does, and
            # SciPy's linear algebra with it (0.1 s of a first call's 0.2).
            rtsys.initialize(target_context)
            name = self._file_name(sig, target_context.codegen())
            for folder in _to_read():
                # Whatever a damaged file raises, the cure is the same: compile again.
                with contextlib.suppress(Exception):
                    return compiler.CompileResult._rebuild(target_context, *_read(folder / name))
        return None

    def save_overload(self, sig, data):
        with contextlib.suppress(Exception):
            if any(not lifted.can_cache for lifted in data.lifted) or data.library.has_dynamic_globals:
                return
            folder = _to_write()
            if folder is not None:
                _write(folder / self._file_name(sig, data.codegen), serialize.dumps(data._reduce()))

    def _file_name(self, sig, codegen):
        settings = (config.OPT, config.BOUNDSCHECK, config.LOOP_VECTORIZE, config.SLP_VECTORIZE)
        key = (self._name, sig, codegen.magic_tuple(), settings)
        return f"{self._name.rpartition('.')[2]}-{_digest(key)}.nbc"

    def enable(self):
        """Nothing to do: this cache is always on, and harmless where it cannot write."""

    disable = flush = enable


def kept():
    """Where machine code is kept, how many files, and how many bytes; (None, 0, 0) if there is none."""
    for folder in _to_read():
        sizes = [path.stat().st_size for path in folder.glob("*.nbc")]
        if sizes:
            return folder, len(sizes), sum(sizes)
    return None, 0, 0


@contextlib.contextmanager
def beside_package():
    """Within it machine code is kept beside the package, for all users of this installation, and sought only there."""
    _installing.append(True)
    try:
        yield
    finally:
        _installing.pop()


_installing: list[bool] = []


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sources():
    """The text of all kernel files (or their code, where there are .pyc files alone), from a folder or a zip file."""
    files = importlib.resources.files("fastsoftmax.kernels").iterdir()
    texts = {file.name: file.read_bytes() for file in files if file.name.endswith((".py", ".pyc"))}
    return sorted(texts.items())


# Taken at import, because that is the text that is compiled, whatever the files hold by then.
_SOURCES = _digest(_sources())
_VERSIONS = _digest(numba.__version__, llvmlite.__version__, sys.version)


def _to_read():
    """The folders of this version's code, best place first."""
    roots = (BESIDE_PACKAGE,) if _installing else (BESIDE_PACKAGE, _private_folder(config.CACHE_DIR))
    return [root / _VERSIONS / _SOURCES for root in roots if root is not None]


def _to_write():
    root = BESIDE_PACKAGE if _installing else _private_folder(config.CACHE_DIR)
    return None if root is None else root / _VERSIONS / _SOURCES


@functools.cache
def _private_folder(numba_cache_dir):
    """The folder of this user's, which may not be there yet; None where there is no safe one."""
    with contextlib.suppress(OSError, RuntimeError):  # platformdirs says by the latter that there is no home
        if numba_cache_dir:
            root = Path(os.path.expanduser(numba_cache_dir)).absolute() / FOLDER
        else:
            root = platformdirs.user_cache_path("fastsoftmax", appauthor=False)
        if not root.is_absolute() or any(part.startswith("~") for part in root.parts):
            return None  # no HOME, and a user who is not in the system's list: "~" means nothing
        reason = _distrusted(root)
        if reason is None:
            return root
        with contextlib.suppress(Warning):  # where warnings are errors: no call fails for want of a cache
            message = f"machine code is not kept: {reason}. Another place can be named in NUMBA_CACHE_DIR"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return None


def _distrusted(root):
    """Why the folder, or the one that it would be made in, is not this user's alone; None if it is."""
    if PACKAGE in (root, *root.parents):
        return f"{root} lies inside the package"
    if not hasattr(os, "geteuid"):
        return None
    if root.exists():
        if {root.stat().st_uid, root.lstat().st_uid} != {os.geteuid()}:  # of a link, too
            return f"{root} belongs to another user"
        return f"{root} may be written by others" if root.stat().st_mode & OTHERS_MAY_WRITE else None
    above = next(folder for folder in root.parents if folder.exists())
    return None if above.stat().st_uid in (0, os.geteuid()) else f"{above} belongs to another user"


def _is_trusted(found):
    if not hasattr(os, "geteuid"):
        return True
    owners = {0, os.geteuid()}
    with contextlib.suppress(OSError):  # in a zip file the package has no owner of its own
        owners.add(PACKAGE.stat().st_uid)
    return found.st_uid in owners and not found.st_mode & OTHERS_MAY_WRITE


def _read(path):
    with path.open("rb") as file:
        if not _is_trusted(os.fstat(file.fileno())):  # of the file that is open, which nobody can exchange any more
            raise PermissionError(f"{path} may have been written by another user")
        content = file.read()
    _note_use(path.parent)
    digest, body = content[:32], content[32:]
    if _checksum(path.name, body) != digest:
        raise ValueError(f"{path} is damaged")
    return pickle.loads(body)


@functools.cache
def _note_use(folder):
    """Once a process: what is used is not swept away."""
    with contextlib.suppress(OSError):
        os.utime(folder)
        os.utime(folder.parent)


def _checksum(name, body):
    return hashlib.sha256(name.encode() + b"\0" + body).digest()


def _write(path, body):
    folder, everybody = path.parent, bool(_installing)  # what is installed is for everyone
    if not folder.exists():
        root = folder.parent.parent
        for new in (*reversed(root.parents), root, folder.parent, folder):
            if not new.exists():
                new.mkdir(0o700, exist_ok=True)
                if everybody:
                    new.chmod(0o755)  # whatever the umask
        _sweep(root)
        _sweep(folder.parent)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_checksum(path.name, body) + body)
        os.chmod(temporary, 0o644 if everybody else 0o600)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _sweep(folder):
    """Remove all but the subfolders that were used last, of those that are surely ours."""
    ours = [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and _holds_code_alone(path)]
    for path in sorted(ours, key=lambda path: path.stat().st_mtime_ns)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


_OURS = re.compile("[0-9a-f]{16}")  # as _digest names them


def _holds_code_alone(folder):
    return not folder.is_symlink() and all(
        path.suffix in (".nbc", ".tmp") or (_OURS.fullmatch(path.name) and _holds_code_alone(path))
        for path in folder.iterdir()
    )
