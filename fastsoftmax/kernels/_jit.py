"""How every kernel is compiled, and where its machine code is kept.

Three decorators hold all JIT options. They may fuse a multiplication with an addition and nothing else: nnan and ninf
would make NaN rows and masks undefined, and reassoc cancels the rounding trick that exp is built on. `kernel` compiles
a function by itself, `step` a piece that must become a part of its callers, and `outline` copies into its callers,
before their types are known, what only arranges calls: its own machine code would be compiled for nobody.

Machine code is kept in one file a function and signature, named by everything that the code depends on: the
text of all kernel files as they were when this process imported them, the versions of Numba, llvmlite and
Python, the CPU and the argument types. A changed source or machine therefore asks for another
file: stale code cannot be run. There is no index that processes could race for; files appear by an atomic
rename and carry a checksum, and whatever goes wrong with them means one more compilation, never an error.
"""

import contextlib
import hashlib
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import llvmlite
import numba
from numba.core import caching, compiler, config, serialize
from numba.core.runtime import rtsys
from numba.misc.appdirs import AppDirs

_HERE = Path(__file__).resolve().parent


def kernel(function):
    """Compile for exact work: the order of additions stays as written."""
    return _compile(function, forceinline=False)  # said, because it would be handed down from a step that calls it


def step(function):
    """Compile into each caller: a call in the middle of a row costs much of its time (17 classes: 14 ns against 11)."""
    return _compile(function, forceinline=True)


def outline(function):
    """Copy into each caller what only arranges calls (a pass of linear.py: 10 s of compiling against 80)."""
    return _compile(function, inline="always")


def _compile(function, **options):
    if config.DISABLE_JIT:
        return function
    dispatcher = numba.njit(error_model="numpy", nogil=True, fastmath={"contract"}, **options)(function)
    ours = Path(function.__code__.co_filename).resolve().parent == _HERE  # of other files the text is not known
    if ours and options == {"forceinline": False}:  # what becomes a part of its callers is kept with them
        dispatcher._cache = _MachineCode(f"{function.__module__}.{function.__qualname__}")
    return dispatcher


class _MachineCode(caching._Cache):
    """The compiled signatures of one function, on disk (the interface that a Numba dispatcher asks for)."""

    def __init__(self, name):
        self._name = name

    @property
    def cache_path(self):
        return str(_folders()[0]) if _folders() else ""

    def load_overload(self, sig, target_context):
        # What ready code needs of the target. Its refresh() would also load what only a compilation does, and SciPy's
        # linear algebra with it (0.1 s of a first call's 0.2).
        rtsys.initialize(target_context)
        name = self._file_name(sig, target_context.codegen())
        for folder in _folders():
            # Whatever a damaged file raises, the cure is the same: compile again.
            with contextlib.suppress(Exception):
                return compiler.CompileResult._rebuild(target_context, *_read(folder / name))
        return None

    def save_overload(self, sig, data):
        if any(not lifted.can_cache for lifted in data.lifted) or data.library.has_dynamic_globals:
            return
        name = self._file_name(sig, data.codegen)
        content = serialize.dumps(data._reduce())
        for folder in _folders():
            with contextlib.suppress(OSError):
                _write(folder / name, content)
                return

    def _file_name(self, sig, codegen):
        settings = (config.OPT, config.BOUNDSCHECK, config.LOOP_VECTORIZE, config.SLP_VECTORIZE)
        key = (self._name, sig, codegen.magic_tuple(), settings)
        return f"{self._name.rpartition('.')[2]}-{_digest(key)}.nbc"

    def enable(self):
        """Nothing to do: this cache is always on, and harmless where it cannot write."""

    disable = flush = enable


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sources():
    """The text of all kernel files; nothing where they cannot be read (imported from a zip, or from .pyc files)."""
    return [(path.name, path.read_bytes()) for path in sorted(_HERE.glob("*.py"))]


# Taken at import, because that is the text that is compiled, whatever the files hold by then.
_SOURCES = _digest(_sources()) if _sources() else None
_VERSIONS = _digest(str(_HERE), numba.__version__, llvmlite.__version__, sys.version)


def _folders():
    """Where machine code may lie, best place first: NUMBA_CACHE_DIR, or beside the package, or the user's cache."""
    if _SOURCES is None:
        return ()
    if config.CACHE_DIR:
        roots = [Path(config.CACHE_DIR)]
    else:
        roots = [_HERE / "__pycache__", Path(AppDirs(appname="fastsoftmax", appauthor=False).user_cache_dir)]
    return tuple(root / f"fastsoftmax-{_VERSIONS}" / _SOURCES for root in roots)


def kept():
    """Where machine code is kept, how many files, and how many bytes; (None, 0, 0) if there is none."""
    for folder in _folders():
        sizes = [path.stat().st_size for path in folder.glob("*.nbc")]
        if sizes:
            return folder, len(sizes), sum(sizes)
    return None, 0, 0


def _read(path):
    content = path.read_bytes()
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(f"{path} is damaged")
    return pickle.loads(body)


def _write(path, body):
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.parent.iterdir():  # code of sources that are no longer here
            if other != path.parent:
                shutil.rmtree(other, ignore_errors=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        os.chmod(temporary, 0o644)  # what root keeps beside the package is for everyone
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
