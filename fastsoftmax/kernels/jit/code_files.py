"""Files of machine code: whole or not at all, and from whom they may come. Of what is in them machine_code.py knows.

A file is a checksum of its name and body, and the body. It lies in a folder of sources, in one of a module, in one of
versions, in a root that is this user's alone or was put beside the package.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent
ABANDONED = 3600  # seconds after which a file that is not whole will never be
DIGEST_SIZE = 32  # what a file begins with
KEPT = 4  # of the versions, and of each version's sources, those that were used last
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrusted(root):
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


def is_trusted(found):
    """Whether a file of this owner and mode may be loaded."""
    if not hasattr(os, "geteuid"):
        return True
    owners = {0, os.geteuid()}
    with contextlib.suppress(OSError):  # in a zip file the package has no owner of its own
        owners.add(PACKAGE.stat().st_uid)
    return found.st_uid in owners and not found.st_mode & OTHERS_MAY_WRITE


def read(path):
    """The body of a file; an error if it is not to be trusted, or not whole."""
    with path.open("rb") as file:
        if not is_trusted(os.fstat(file.fileno())):  # of the file that is open, which nobody can exchange any more
            raise PermissionError(f"{path} may have been written by another user")
        content = file.read()
    _note_use(path.parent)
    if not is_whole(path.name, content):
        raise ValueError(f"{path} is damaged")
    return content[DIGEST_SIZE:]


def is_whole(name, content):
    """Whether the content of a file is as it was written, under this name."""
    return checksum(name, content[DIGEST_SIZE:]) == content[:DIGEST_SIZE]


@functools.cache
def _note_use(folder):
    """Once a process: what is used is not swept away."""
    with contextlib.suppress(OSError):
        os.utime(folder)
        os.utime(folder.parent.parent)


def checksum(name, body):
    return hashlib.sha256(name.encode() + b"\0" + body).digest()


def write(path, body, for_everybody=False):
    """Put a file into a folder of sources, of a module, of versions, which are made where they are missing."""
    folder = path.parent
    if not folder.exists():
        module, versions = folder.parent, folder.parent.parent
        root = versions.parent
        for new in (*reversed(root.parents), root, versions, module, folder):
            if not new.exists():
                new.mkdir(0o700, exist_ok=True)
                if for_everybody:
                    new.chmod(0o755)  # whatever the umask
        _sweep(root)
        _sweep(module)
    _clear(folder)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(checksum(path.name, body) + body)
        os.chmod(temporary, 0o644 if for_everybody else 0o600)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _clear(folder):
    """Remove what processes have left that were killed while they wrote."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.tmp"):
            if path.stat().st_mtime < time.time() - ABANDONED:
                path.unlink()


def _sweep(folder):
    """Remove all but the subfolders that were used last, of those that are surely ours."""
    ours = [path for path in folder.iterdir() if _DIGEST.fullmatch(path.name) and _holds_code_alone(path)]
    for path in sorted(ours, key=lambda path: path.stat().st_mtime_ns)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


_DIGEST, _MODULE = re.compile("[0-9a-f]{16}"), re.compile(r"[a-z_]\w*(\.[a-z_]\w*)*")


def _holds_code_alone(folder):
    """A folder as we make them: of versions, of a module or of sources."""
    return not folder.is_symlink() and all(
        path.suffix in (".nbc", ".tmp")
        or (
            (_DIGEST.fullmatch(path.name) or _MODULE.fullmatch(path.name)) and path.is_dir() and _holds_code_alone(path)
        )
        for path in folder.iterdir()
    )
