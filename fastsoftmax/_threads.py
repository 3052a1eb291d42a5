"""Rows over threads: when it pays, how many, and safely.

`run` calls a kernel, with a team of helpers where there is enough to do. The helpers are threads in compiled code
(kernels/board.py), not Python's; they start at the first such call, watch for a job for a moment after each, and then
sleep. One call at a time has the team: another Python thread that calls meanwhile does its rows alone. A forked
child starts with helpers of its own. Where the system has no more threads to give, fewer work, or the caller alone;
after the interpreter's exit handlers, the caller alone. Results are the same for any number of threads, because rows
are.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsoftmax._cores import usable_cores
from fastsoftmax._gate.numbers import read_count
from fastsoftmax.kernels import board as team_board
from fastsoftmax.kernels.jit.numba_internals import config
from fastsoftmax.kernels.system import has_threads
from fastsoftmax.kernels.threads import SMALL

RETRY_SECONDS = 1.0  # before the system is asked again for a thread that it had not got

# Python loops would only wait for each other.
_ALONE = bool(config.DISABLE_JIT) or not has_threads()

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
    """How many threads a call may use: what was set, or else the number of cores that this process may keep busy.

    That is by its affinity, the quota of its control group (as of a container; rounded up, and read once), and
    NUMBA_NUM_THREADS.

    Returns
    -------
    int

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

    Parameters
    ----------
    n : int
        As `set_num_threads` takes it, whose errors these are.

    Yields
    ------
    None

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
    return kernel(*arguments, 0) if n_elements < SMALL else run_with_team(kernel, *arguments)


def run_with_team(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """The same where it is known that a team pays."""
    if _ALONE or (threads := get_num_threads()) == 1:
        return kernel(*arguments, 0)
    team = _team
    try:
        team.free.pop()
    except IndexError:  # another call has it
        return kernel(*arguments, 0)
    try:
        return kernel(*arguments, team.summon(threads - 1))
    finally:
        try:
            team.move_back()
        finally:
            team.free.append(None)


class _Team:
    """Helpers that watch one board.

    Attributes
    ----------
    free : list
        Holds something while no call has the team: a lock that is taken with pop, which is atomic, and is no lock of
        Python's, which libraries of green threads replace.
    moved : list of (int, set of int)
        Helpers that may run on fewer cores at the moment, and those on which they may else.
    """

    def __init__(self) -> None:
        self.free: list[None] = [None]
        self.moved: list[tuple[int, set[int]]] = []
        self._board = team_board.new_board()  # type: ignore[no-untyped-call]
        self._board[team_board.SIGNALS] = _SIGNALS
        self._address = int(self._board.ctypes.data)
        self._parts: list[NDArray[np.int64]] = []  # of the board, one for each helper
        self._welcome = 0
        self._retry_at = 0.0
        self._process = os.getpid()

    @property
    def n_helpers(self) -> int:
        """How many helpers have been started."""
        return int(self._board[team_board.STARTED])

    def summon(self, helpers: int) -> int:
        """Have that many helpers about, awake or asleep, or as many as can be had; the board's address, 0 for none."""
        helpers = min(helpers, team_board.MOST_HELPERS)
        if len(self._parts) < helpers:
            self._start(helpers)
        helpers = min(helpers, len(self._parts))
        if helpers == 0 or self._board[team_board.CLOSED]:
            return 0
        if self._welcome != helpers:
            self._board[team_board.WELCOME] = self._welcome = helpers
        for part in self._parts[:helpers]:
            if part[team_board.ASLEEP]:
                thread = int(part[team_board.TID])
                before = _send_to_another_core(thread)
                if before:
                    self.moved.append((thread, before))
        return self._address

    def move_back(self) -> None:
        """Let helpers run where they did before."""
        while self.moved:
            thread, cores = self.moved.pop()
            with contextlib.suppress(OSError):  # it ends at this moment
                os.sched_setaffinity(thread, cores)

    def _start(self, helpers: int) -> None:
        """Start what is missing, unless the system had no thread to give a moment ago."""
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RETRY_SECONDS
        # Where there is not even memory or a descriptor for the machine code, there is no team, and no reason to fail.
        with contextlib.suppress(Exception):
            if self.n_helpers == 0:
                team_board.dismiss(self._address)  # nobody yet: its code must be ready by the time the interpreter goes
            masks = int(signal.SIG_BLOCK), int(signal.SIG_SETMASK)
            if team_board.start_helpers(self._address, helpers, *masks) >= helpers:
                self._retry_at = 0.0
        for number in range(len(self._parts), self.n_helpers):
            self._parts.append(team_board.part_of(self._board, number))  # type: ignore[no-untyped-call]

    def dismiss(self) -> None:
        """End the helpers, so that none is inside compiled code when the interpreter goes."""
        self._board[team_board.CLOSED] = 1
        if self.n_helpers and self._process == os.getpid():  # a fork that Python did not make leaves them behind
            team_board.dismiss(self._address)


# Signals are for Python's threads: a helper that took one would leave the main thread asleep in a system call. But a
# fault belongs to the thread that has made it, and faulthandler could not tell of one that is blocked.
_FAULTS = {getattr(signal, name, None) for name in ("SIGSEGV", "SIGFPE", "SIGILL", "SIGABRT", "SIGBUS")}
_SIGNALS = np.int64(sum(1 << (number - 1) for number in signal.valid_signals() - _FAULTS if number < 64))


def _send_to_another_core(thread: int) -> set[int]:
    """Let a sleeping helper wake on any core but ours; where it could before, or nothing if that was not possible.

    Left to itself it may wake on the core that it last had; if that is the leader's by now, the two take turns of
    4 ms there, the other core idle (300 x 5000, two threads: 280 us a call against 150).
    """
    if _core_of_caller is not None and thread:
        others = os.sched_getaffinity(0) - {_core_of_caller()}
        if others:
            with contextlib.suppress(OSError):  # it ends at this moment, or the system forbids it
                before = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, others)
                return before
    return set()


_core_of_caller = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def _cores() -> int:
    """The cores that this thread may keep busy now, and no more than Numba is told to use (NUMBA_NUM_THREADS)."""
    return min(usable_cores(), int(config.NUMBA_NUM_THREADS))


_team = _Team()
atexit.register(lambda: _team.dismiss())


def _start_anew() -> None:
    """In a forked child the helpers do not exist, and the lock may be held by a thread that does not either."""
    global _team
    _team = _Team()  # pragma: no cover (in forked children, which tests only see from outside)


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows has none)
    os.register_at_fork(after_in_child=_start_anew)
