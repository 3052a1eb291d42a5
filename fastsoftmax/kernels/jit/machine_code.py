"""Where machine code is kept from process to process, and whose code is loaded.

One file a function and signature, named by everything that the code depends on: the text of the kernel files that its
own file imports, directly or not, as they were when this process imported them, the versions of Numba, llvmlite and
Python, the CPU and the argument types. A changed source or machine therefore asks for another file: stale code cannot
be run. There is no index that processes could race for; files (code_files.py) appear by an atomic rename and carry a
checksum of name and content, and whatever goes wrong with them means one more compilation, never an error. With a
kernel, those that it calls are loaded first, unless they are deferred.

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
import sys
import warnings
import zlib
from pathlib import Path

import llvmlite
import numba
import platformdirs

from fastsoftmax.kernels.jit.code_files import PACKAGE, distrusted, read, write
from fastsoftmax.kernels.jit.deferred import deferred
from fastsoftmax.kernels.jit.layout import HEADER, LAYOUT_IS_KNOWN
from fastsoftmax.kernels.jit.libraries import has_a_name, pack, unpack
from fastsoftmax.kernels.jit.numba_internals import caching, config, rtsys, serialize

KERNELS = "fastsoftmax.kernels"
FOLDER = "fastsoftmax-machine-code"
BESIDE_PACKAGE = PACKAGE.parent / FOLDER


class MachineCode(caching._Cache):
    """The compiled signatures of one function, on disk (the interface that a Numba dispatcher asks for)."""

    def __init__(self, dispatcher):
        function = dispatcher.py_func
        self._module, self._name = function.__module__, function.__qualname__
        _DISPATCHERS[self._module, self._name] = dispatcher

    @staticmethod
    def keeps(function):
        """Whether its text is known, and its name means one function."""
        return function.__module__.startswith(f"{KERNELS}.") and has_a_name(function)

    @property
    def cache_path(self):
        return str(next(iter(_to_read(self._module)), ""))

    def load_overload(self, sig, target_context):
        with contextlib.suppress(Exception):
            # What ready code needs of the target. Its refresh() would also load what only a compilation does, and
            # SciPy's linear algebra with it (0.1 s of a first call's 0.2).
            rtsys.initialize(target_context)
            name = self._file_name(sig, target_context.codegen())
            for folder in _to_read(self._module):
                # Whatever a damaged file raises, the cure is the same: compile again.
                with contextlib.suppress(Exception):
                    called, later, state = pickle.loads(zlib.decompress(read(folder / name)))
                    known = [deferred(_DISPATCHERS[module, kernel], types) for module, kernel, types in later]
                    return unpack(state, [_ready(*identity) for identity in called], known, target_context)
        return None

    def save_overload(self, sig, data):
        with contextlib.suppress(Exception):
            library = data.library
            called, later = ([each.identity for each in group] for group in (library.called, library.deferred))
            if library.has_dynamic_globals or any(each[:2] not in _DISPATCHERS for each in called + later):
                return
            folder = _to_write(self._module)
            if folder is not None:
                body = zlib.compress(serialize.dumps((called, later, pack(data))))
                # what is installed is for everyone
                write(folder / self._file_name(sig, data.codegen), body, for_everybody=bool(_installing))

    def _file_name(self, sig, codegen):
        vectorize = config.LOOP_VECTORIZE, config.SLP_VECTORIZE
        settings = (config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT, *vectorize)
        key = (self._module, self._name, sig, codegen.magic_tuple(), settings)
        return f"{self._name}-{_digest(key)}.nbc"

    def enable(self):
        """Nothing to do: this cache is always on, and harmless where it cannot write."""

    disable = flush = enable


_DISPATCHERS = {}  # by module and name


def _ready(module, name, types):
    """The library of another kernel, loaded or compiled."""
    dispatcher = _DISPATCHERS[module, name]
    dispatcher.compile(types)
    return dispatcher.overloads[types].library


def kept():
    """Where machine code is kept, how many files, and how many bytes; (None, 0, 0) if there is none."""
    for root in _roots_to_read():
        folders = [_folder(root, module) for module in _TEXTS]
        sizes = [path.stat().st_size for folder in folders for path in folder.glob("*.nbc")]
        if sizes:
            return root / _VERSIONS, len(sizes), sum(sizes)
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


def _texts():
    """The text of each kernel module (or its code, where there are .pyc files alone), from a folder or a zip file."""
    texts, waiting = {}, [(KERNELS, importlib.resources.files(KERNELS))]
    while waiting:
        package, folder = waiting.pop()
        for file in folder.iterdir():
            stem, _, suffix = file.name.partition(".")
            if suffix in ("py", "pyc"):
                texts[package if stem == "__init__" else f"{package}.{stem}"] = file.read_bytes()
            elif file.is_dir() and file.name != "__pycache__":
                waiting.append((f"{package}.{file.name}", file))
    return texts


# Taken at import, because that is the text that is compiled, whatever the files hold by then.
_TEXTS = _texts()
_VERSIONS = _digest(numba.__version__, llvmlite.__version__, sys.version, HEADER, LAYOUT_IS_KNOWN)


@functools.cache
def _sources(module):
    """A digest of the texts of a module and of all that they name, directly or not: at least what it imports."""
    found, waiting = {}, [module]
    while waiting:
        name = waiting.pop()
        if name in _TEXTS and name not in found:
            found[name] = _TEXTS[name]
            waiting += [other for other in _TEXTS if other != KERNELS and other.encode() in _TEXTS[name]]
    return _digest(sorted(found.items()))


def _folder(root, module):
    return root / _VERSIONS / module.removeprefix(f"{KERNELS}.") / _sources(module)


def _roots_to_read():
    """Where this version's code may be, best place first."""
    roots = (BESIDE_PACKAGE,) if _installing else (BESIDE_PACKAGE, _private_folder(config.CACHE_DIR))
    return [root for root in roots if root is not None]


def _to_read(module):
    return [_folder(root, module) for root in _roots_to_read()]


def _to_write(module):
    root = BESIDE_PACKAGE if _installing else _private_folder(config.CACHE_DIR)
    return None if root is None else _folder(root, module)


@functools.cache
def _private_folder(numba_cache_dir):
    """The folder of this user's, which may not be there yet; None where there is no safe one."""
    with contextlib.suppress(OSError, RuntimeError):  # platformdirs says by the latter that there is no home
        root = named_folder(numba_cache_dir)
        if root is None:
            return None
        reason = distrusted(root)
        if reason is None:
            return root
        with contextlib.suppress(Warning):  # where warnings are errors: no call fails for want of a cache
            message = f"machine code is not kept: {reason}. Another place can be named in NUMBA_CACHE_DIR"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return None


def named_folder(numba_cache_dir):
    """Where the folder of this user's is to be; None where there is no home."""
    if numba_cache_dir:
        root = Path(os.path.expanduser(numba_cache_dir)).absolute() / FOLDER
    else:
        root = platformdirs.user_cache_path("fastsoftmax", appauthor=False)
    # no HOME, and a user who is not in the system's list: "~" means nothing
    return None if not root.is_absolute() or any(part.startswith("~") for part in root.parts) else root
