"""Rows over threads: when it pays, how many, and safely.

`run` calls a kernel, with a team of helpers where there is enough to do. The helpers are Python threads inside compiled
code (kernels/team.py); they start at the first such call, look out for the next job for a moment after each, and
then sleep. One call at a time has the team: another Python thread that calls meanwhile does its rows alone. A forked
child starts with helpers of its own. Results are the same for any number of threads, because rows are.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from numba.core import config

from fastsoftmax.kernels.team import SMALL, close, new_board, serve, welcome

PATIENCE = 4_000  # looks at the board before a helper sleeps: about 0.2 ms

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
    _set_for_all = _read_threads(n)


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
    token = _set_here.set(_read_threads(n))
    try:
        yield
    finally:
        _set_here.reset(token)


def run(kernel: Callable[..., Any], n_elements: int, *arguments: Any) -> Any:
    """kernel(*arguments, team): by this thread alone (team 0), or by as many as pay for so many elements."""
    alone = n_elements < SMALL or config.DISABLE_JIT  # Python loops would only wait for each other
    if alone or (threads := get_num_threads()) == 1 or not _team.free.acquire(blocking=False):
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
        self._bells: list[threading.Semaphore] = []  # one for each helper; it sleeps until it rings
        self._asleep: set[int] = set()
        self._welcome = 0

    def summon(self, helpers: int) -> int:
        """Have that many helpers about, awake or waking, and give the address of the board."""
        address = int(self._board.ctypes.data)
        while len(self._bells) < helpers:
            self._bells.append(threading.Semaphore(0))
            number = len(self._bells) - 1
            threading.Thread(target=self._help, args=(address, number), name="fastsoftmax", daemon=True).start()
        if self._welcome != helpers:
            welcome(address, helpers)
            self._welcome = helpers
        for number in list(self._asleep):
            if number < helpers:
                self._asleep.discard(number)
                self._bells[number].release()
        return address

    def _help(self, address: int, number: int) -> None:
        while serve(address, number, PATIENCE):
            self._asleep.add(number)
            self._bells[number].acquire()

    def dismiss(self) -> None:
        """End the helpers, so that none is inside compiled code when the interpreter goes."""
        if self._bells:
            close(int(self._board.ctypes.data))
        for bell in self._bells:
            bell.release()


def _read_threads(n: int) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    return int(n)


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
