"""Rows over threads: when it pays, how many, and safely.

`run` calls a kernel, with a team of helpers where there is enough to do. The helpers are Python threads inside compiled
code (kernels/team.py); they start at the first such call, look out for the next job for a moment after each, and
then sleep. One call at a time has the team: another Python thread that calls meanwhile does its rows alone. A forked
child starts with helpers of its own. Results are the same for any number of threads, because rows are.
"""

import atexit
import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from fastsoftmax._numbers import read_count
from fastsoftmax.kernels import team as team_board
from fastsoftmax.kernels.team import MOST_HELPERS, SMALL, new_board, serve

PATIENCE = 4_000  # looks at the board before a helper sleeps: about 0.2 ms

# Python loops would only wait for each other, and the bells are POSIX's.
_ALONE = bool(config.DISABLE_JIT) or os.name != "posix"

_set_for_all: int | None = None
_set_here: ContextVar[int | None] = ContextVar("num_threads", default=None)


def set_num_threads(n: int) -> None:
    """Let each call use up to n threads, from now on and in all Python threads.

    Parameters
    ----------
    n : int
        At least 1. Small arrays are worked on by the calling thread alone, whatever n is.

    Raises
    ------
    TypeError, ValueError
        n is not an integer of at least 1.

    Notes
    -----
    Results do not depend on it, bit for bit. The threads of BLAS and of other libraries are left alone.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> before = fs.get_num_threads()
    >>> fs.set_num_threads(1)
    >>> fs.get_num_threads()
    1
    >>> fs.set_num_threads(before)
    """
    global _set_for_all
    _set_for_all = read_count("n", n)


def get_num_threads() -> int:
    """How many threads a call may use: what was set, or else the number of cores that this process may run on.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.get_num_threads() >= 1
    True
    """
    return _set_here.get() or _set_for_all or _cores()


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Let each call inside a with block use up to n threads; other Python threads are not affected.

    Parameters and errors are those of `set_num_threads`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> with fs.num_threads(1):
    ...     fs.get_num_threads()
    1
    """
    token = _set_here.set(read_count("n", n))
    try:
        yield
    finally:
        _set_here.reset(token)


def run(kernel: Callable[..., Any], n_elements: int, *arguments: Any) -> Any:
    """kernel(*arguments, team): by this thread alone (team 0), or by as many as pay for so many elements."""
    if n_elements < SMALL or _ALONE or (threads := get_num_threads()) == 1 or not _team.free.acquire(blocking=False):
        return kernel(*arguments, 0)
    team = _team
    try:
        return kernel(*arguments, team.summon(threads - 1))
    finally:
        team.free.release()


class _Team:
    """Helpers that watch one board."""

    def __init__(self) -> None:
        self.free = threading.Lock()  # held by the call that has the team
        self._board = new_board()  # type: ignore[no-untyped-call]
        self._address = int(self._board.ctypes.data)
        self._helpers: list[threading.Thread] = []
        self._lines: list[NDArray[np.int64]] = []  # of the board, one for each helper
        self._welcome = 0

    def summon(self, helpers: int) -> int:
        """Have that many helpers about, awake or asleep, and give the address of the board."""
        helpers = min(helpers, MOST_HELPERS)
        while (number := len(self._helpers)) < helpers:
            self._lines.append(team_board.line_of(self._board, number))  # type: ignore[no-untyped-call]
            self._lines[number][[team_board.BELL_TO_READ, team_board.BELL_TO_WRITE]] = _bell()
            arguments = (self._address, number, PATIENCE)
            helper = threading.Thread(target=serve, args=arguments, name="fastsoftmax", daemon=True)
            helper.start()
            self._helpers.append(helper)
        if self._welcome != helpers:
            self._board[team_board.WELCOME] = self._welcome = helpers
        for number in range(helpers):
            if self._lines[number][team_board.ASLEEP]:
                _send_to_another_core(self._helpers[number])
        return self._address

    def dismiss(self) -> None:
        """End the helpers, so that none is inside compiled code when the interpreter goes."""
        self._board[team_board.CLOSED] = 1
        for line in self._lines:
            os.write(int(line[team_board.BELL_TO_WRITE]), (1).to_bytes(8, sys.byteorder))


def _bell() -> tuple[int, int]:
    """File descriptors that a sleeper reads and a waker writes."""
    if hasattr(os, "eventfd"):
        descriptor = os.eventfd(0)  # a pipe would have the sleeper wake on the core of the waker, who goes on working
        return descriptor, descriptor
    return os.pipe()


def _send_to_another_core(helper: threading.Thread) -> None:
    """Let a sleeping helper wake on any core but ours.

    Left to itself it may wake on the core that it last had; if that is the leader's by now, the two take turns of
    4 ms there, the other core idle (300 x 5000, two threads: 280 us a call against 150).
    """
    if _core_of_caller is not None and helper.native_id is not None:
        others = os.sched_getaffinity(0) - {_core_of_caller()}
        if others:
            with contextlib.suppress(OSError):  # it ends at this moment, or the system forbids it
                os.sched_setaffinity(helper.native_id, others)


_core_of_caller = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def _cores() -> int:
    """The cores that this thread may run on now, and no more than Numba is told to use (NUMBA_NUM_THREADS)."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, int(config.NUMBA_NUM_THREADS))


_team = _Team()
atexit.register(lambda: _team.dismiss())


def _start_anew() -> None:
    """In a forked child the helpers do not exist, and the lock may be held by a thread that does not either."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
