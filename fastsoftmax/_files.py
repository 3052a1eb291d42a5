"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of whatever is at the path at the end, or leaves it as it is.

    As with `open`, a link is followed, a new file's permissions are the umask's, and those of a file that is replaced
    stay.

    Raises
    ------
    OSError
        The file cannot be written, or what is at the path is no ordinary file.
    """
    target = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(target), f".fastsoftmax-{secrets.token_hex(8)}.tmp")
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "not an ordinary file, so it is not replaced", os.fspath(path))
    try:
        with open(temporary, "xb") as file:
            if mode is not None:
                with contextlib.suppress(OSError):  # a file system without permissions
                    os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = os.fspath(path)  # not the temporary one, which nobody knows
        raise
    _sync_folder(os.path.dirname(target))


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk, where the system can do that for a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
