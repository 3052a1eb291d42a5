"""What stands in the places of machine code, without loading any of it."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fastsoftmax.kernels.jit import code_files, machine_code
from fastsoftmax.kernels.jit.numba_internals import config


@dataclass(frozen=True)
class Place:
    """A folder of machine code.

    Attributes
    ----------
    folder : where it is, or would be made
    not_used : why nothing is read from or written to it; None if it is used
    n_files, n_bytes : of the machine code there, of all versions
    n_distrusted, n_damaged : files that are not loaded: somebody else may have written them; they are not whole
    is_writable : whether a file can be made there
    """

    folder: Path
    not_used: str | None
    n_files: int
    n_bytes: int
    n_distrusted: int
    n_damaged: int
    is_writable: bool


def places():
    """Where machine code is sought: beside the package, and the folder of this user's if there can be one."""
    roots = [(machine_code.BESIDE_PACKAGE, None)]
    with contextlib.suppress(OSError, RuntimeError):
        root = machine_code.named_folder(config.CACHE_DIR)
        if root is not None:
            roots.append((root, code_files.distrusted(root)))
    return [_inspect(*each) for each in roots]


def _inspect(root, not_used):
    n_files = n_bytes = n_distrusted = n_damaged = 0
    for path in root.rglob("*.nbc"):
        with contextlib.suppress(OSError):  # it is replaced or swept away at this moment
            found = path.stat()
            n_files, n_bytes = n_files + 1, n_bytes + found.st_size
            if not code_files.is_trusted(found):
                n_distrusted += 1
            elif not code_files.is_whole(path.name, path.read_bytes()):
                n_damaged += 1
    return Place(root, not_used, n_files, n_bytes, n_distrusted, n_damaged, _is_writable(root))


def _is_writable(root):
    """Whether a file can be made there, or in the folder that it would be made in; none is left."""
    with contextlib.suppress(OSError):
        folder = next(folder for folder in (root, *root.parents) if os.path.lexists(folder))
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
        return True
    return False
