"""The board of a team of threads: where a leader puts a job, and how helpers come by its rows, in compiled code.

A helper is a thread that the C library starts (pthread_create) and that Python knows nothing of: no patch of Python's
threads turns it into something else, it can be started while the interpreter shuts down, and it never waits for the
interpreter's lock. It watches the board of its team for a job: a closure (closures.py) that is called with the first
and the last row of a span, and a number of rows. Leader and helpers have a share of the rows each, the same in every
job of so many rows, so that they find them in their own caches; they take grains of rows from its counter, and go on
with the shares of others when their own is done. So nobody waits for a helper to come: a leader whose helpers sleep
does all the rows. It only waits, at the end, for those that have begun a grain. Handing a job over takes about a
microsecond. (Numba's own parallel loops would abort in a forked child, or on two launches at once, depending on the
threading layer.)

A helper that has found no job for a while sleeps on a condition variable in its part of the board, until a leader
signals it. It works in the leader's floating-point mode (rounding, subnormals flushed to zero), so that the results are
those of the leader alone.

The board is an array of int64, given by its address (0: no team). Its entries lie a cache line apart; all are read and
written atomically, in one order for all threads. What holds:

1. One leader at a time has the team (fastsoftmax/_threads.py sees to that). It alone writes a job, and only while
   _OPEN is 0 and _INSIDE is 0: so no helper reads half of one.
2. A helper counts itself in _INSIDE before it looks at _OPEN a second time, and reads the job only if that says that
   one is open. The leader closes the job and then waits for _INSIDE to become 0: so whatever a helper reads of a job,
   and the arrays that its closure is bound to, lives until the helper has left.
3. Each row of a share is taken once, by an atomic addition to that share's _NEXT, and each grain that was taken is run
   to its end, by whoever took it, before its taker leaves.
4. The leader takes grains until none is left in any share: a job is done even if no helper ever comes.
5. A helper says that it sleeps before it looks for a job once more; a leader opens the job before it looks who
   sleeps. So one of both sees the other, and no job and no closing is slept through.
6. A helper that meets a kernel which is not compiled waits for it; the leader looks for that wherever it waits for
   helpers (kernels/jit/deferred.py).
7. _CLOSED is set once and never taken back. Helpers look at it before each grain and end; threads are joined after
   that.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.closures import bind, frame_of_call, function_type, status_of_call
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.jit.deferred import make_wanted_ready
from fastsoftmax.kernels.system import (
    add_atomic,
    float_mode,
    load_atomic,
    pause,
    pthread_cond_destroy,
    pthread_cond_init,
    pthread_cond_signal,
    pthread_cond_wait,
    pthread_create,
    pthread_join,
    pthread_mutex_destroy,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_unlock,
    pthread_sigmask,
    set_float_mode,
    store_atomic,
    thread_id,
    yield_processor,
)

_LINE = 64  # bytes
_OPEN = 0 * _LINE  # number of the job that can be joined, or 0
_NEXT = 1 * _LINE  # first row of the leader's share that nobody has taken
_INSIDE = 2 * _LINE  # helpers that may be looking at the job
# function, arguments, rows, rows a grain, how many helpers may join, floating-point mode, shares: 8 bytes each
_JOB = 3 * _LINE
_FAILED = 4 * _LINE  # the status of a grain that raised, two numbers, or 0
_LAST_JOB = 5 * _LINE
_CLOSED = 6 * _LINE  # not 0: helpers end
_STARTED = 7 * _LINE  # how many helpers there are
_SIGNALS, _SIGNALS_BEFORE = 8 * _LINE, 10 * _LINE  # two sigset_t: what helpers leave to others, and what a starter left
_HELPERS = 12 * _LINE  # four lines each: what follows, a mutex, a condition variable, and the helper's own _NEXT
_HELPER = 4 * _LINE
_ASLEEP, _THREAD, _TID, _FUNCTION, _ARGUMENTS, _MUTEX, _CONDITION = 0, 8, 16, 24, 32, _LINE, 2 * _LINE
_HELPERS_NEXT = 3 * _LINE
MOST_HELPERS = 255
BOARD_SIZE = (_HELPERS + MOST_HELPERS * _HELPER) // 8
# What Python writes and reads: positions in the board, and in the part of a helper
WELCOME, CLOSED, STARTED, SIGNALS = (_JOB + 32) // 8, _CLOSED // 8, _STARTED // 8, _SIGNALS // 8
ASLEEP, TID = _ASLEEP // 8, _TID // 8

YIELD_AFTER = 1_000  # looks: with more threads than cores, the one that is waited for may need ours
PATIENCE = 4_000  # looks at the board before a helper sleeps: about 0.2 ms


@routine
def lead(team, job, n_rows, grain, n_shares):
    """Have a job done, in grains of so many rows: its status, which is that of a grain that raised, if one did."""
    number = load_atomic(team + _LAST_JOB) + 1
    store_atomic(team + _LAST_JOB, number)
    store_atomic(team + _JOB, job[0])
    store_atomic(team + _JOB + 8, job[1])
    store_atomic(team + _JOB + 16, n_rows)
    store_atomic(team + _JOB + 24, grain)
    store_atomic(team + _JOB + 40, float_mode())
    store_atomic(team + _JOB + 48, n_shares)
    for owner in range(n_shares):
        store_atomic(_next_of(team, owner), _start_of(owner, n_shares, n_rows, grain))
    store_atomic(team + _FAILED, 0)
    store_atomic(team + _OPEN, number)
    for helper in range(load_atomic(team + _JOB + 32)):
        _wake(team, helper)
    _take_grains(team, job, n_rows, grain, n_shares, 0)
    store_atomic(team + _OPEN, 0)
    while load_atomic(team + _INSIDE) != 0:
        make_wanted_ready()
        pause()
    return load_atomic(team + _FAILED), load_atomic(team + _FAILED + 8)


@routine
def _take_grains(team, job, n_rows, grain, n_shares, me):
    # me: 0 is the leader, 1 the first helper
    for later in range(n_shares):
        owner = (me + later) % n_shares
        place, end = _next_of(team, owner), _start_of(owner + 1, n_shares, n_rows, grain)
        while me == 0 or load_atomic(team + _CLOSED) == 0:  # the leader does what is left of the rows
            first = add_atomic(place, grain)
            if first >= end:
                break
            code, raised = status_of_call(job, (first, min(first + grain, end)))
            if code != 0:
                store_atomic(team + _FAILED + 8, raised)
                store_atomic(team + _FAILED, code)


@inlined
def _next_of(team, owner):
    # where the first row of a share is that nobody has taken
    return team + (_NEXT if owner == 0 else _HELPERS + (owner - 1) * _HELPER + _HELPERS_NEXT)


@inlined
def _start_of(owner, n_shares, n_rows, grain):
    # the first row of a share: a multiple of 16, so that tiles of rows are full and shares begin at lines of a cache,
    # unless a grain is less
    multiple = min(grain, 16)
    return n_rows if owner == n_shares else (n_rows * owner // n_shares) // multiple * multiple


@kernel
def start_helpers(team, n_helpers, block, set_mask):
    """Start threads until there are so many helpers, or the system has none to give: how many there are.

    block, set_mask: SIG_BLOCK and SIG_SETMASK. In compiled code, so that no exception of Python's comes between a
    thread and its being counted, or leaves signals blocked.
    """
    pthread_sigmask(block, team + _SIGNALS, team + _SIGNALS_BEFORE)  # a thread begins with its starter's mask
    helper = load_atomic(team + _STARTED)
    while helper < n_helpers and load_atomic(team + _CLOSED) == 0:
        here = team + _HELPERS + helper * _HELPER
        store_atomic(here + _FUNCTION, bind(_serve, (team, np.int64(helper)), (0, 0))[0])
        store_atomic(here + _ARGUMENTS, team)  # bound as `bind` does it, in a place that stays
        store_atomic(here + _ARGUMENTS + 8, helper)
        pthread_mutex_init(here + _MUTEX, 0)
        pthread_cond_init(here + _CONDITION, 0)
        if pthread_create(here + _THREAD, 0, _thread_function(), here + _FUNCTION) != 0:
            pthread_mutex_destroy(here + _MUTEX)
            pthread_cond_destroy(here + _CONDITION)
            break
        helper += 1
        store_atomic(team + _STARTED, helper)
    pthread_sigmask(set_mask, team + _SIGNALS_BEFORE, 0)
    return helper


@kernel
def dismiss(team):
    """End the helpers of a closed team, and wait until they have ended."""
    n_helpers = load_atomic(team + _STARTED)
    for helper in range(n_helpers):
        _wake(team, helper)
    for helper in range(n_helpers):
        pthread_join(load_atomic(team + _HELPERS + helper * _HELPER + _THREAD), 0)


@inlined
def _wake(team, helper):
    here = team + _HELPERS + helper * _HELPER
    if load_atomic(here + _ASLEEP) != 0:
        pthread_mutex_lock(here + _MUTEX)
        store_atomic(here + _ASLEEP, 0)
        pthread_mutex_unlock(here + _MUTEX)
        pthread_cond_signal(here + _CONDITION)


@inlined
def _sleep(team, here):
    # invariant 5
    store_atomic(here + _ASLEEP, 1)
    if load_atomic(team + _OPEN) == 0 and load_atomic(team + _CLOSED) == 0:
        pthread_mutex_lock(here + _MUTEX)
        while load_atomic(here + _ASLEEP) != 0:
            pthread_cond_wait(here + _CONDITION, here + _MUTEX)
        pthread_mutex_unlock(here + _MUTEX)
    store_atomic(here + _ASLEEP, 0)


@routine
def _serve(first, last, team, helper):
    # Help with jobs until the team is closed. A span without rows, so that a thread can begin with it as with a job.
    last_job, looks, here = 0, 0, team + _HELPERS + helper * _HELPER
    store_atomic(here + _TID, thread_id())
    while load_atomic(team + _CLOSED) == 0:
        looks += 1
        number = load_atomic(team + _OPEN)
        if number != 0 and number != last_job:
            add_atomic(team + _INSIDE, 1)
            number = load_atomic(team + _OPEN)  # from here on the leader waits for us (invariant 2)
            job = team + _JOB
            if number != 0 and helper < load_atomic(job + 32):
                set_float_mode(load_atomic(job + 40))
                closure = load_atomic(job), load_atomic(job + 8)
                n_rows, grain, n_shares = load_atomic(job + 16), load_atomic(job + 24), load_atomic(job + 48)
                _take_grains(team, closure, n_rows, grain, n_shares, helper + 1)
            last_job = number
            add_atomic(team + _INSIDE, -1)
            looks = 0
        elif looks > PATIENCE:
            _sleep(team, here)
            looks = 0
        pause()


@intrinsic
def _thread_function(typingctx):
    # the address of what a thread runs: given the address of a closure's function, with the bound arguments behind it
    def codegen(context, builder, signature, args):
        byte, closure_kind = ir.IntType(8).as_pointer(), function_type(context, (types.intp, types.intp))
        kind = ir.FunctionType(byte, [byte])
        function = ir.Function(builder.module, kind, builder.module.get_unique_name("thread"))
        function.linkage = "internal"
        inner, none = ir.IRBuilder(function.append_basic_block("entry")), ir.IntType(64)(0)
        place = inner.bitcast(function.args[0], ir.IntType(64).as_pointer())
        closure = inner.inttoptr(inner.load(place), closure_kind.as_pointer())
        bound = inner.bitcast(inner.gep(place, [ir.IntType(32)(1)]), byte)
        inner.call(closure, [*frame_of_call(context, inner), bound, none, none])
        inner.ret(ir.Constant(byte, None))
        return builder.ptrtoint(function, ir.IntType(64))

    return types.int64(), codegen


@inlined
def team_size(team):
    """How many may work on a job, the leader included."""
    return 1 if team == 0 else 1 + load_atomic(team + _JOB + 32)


@inlined
def await_ticket(team, ticket, number):
    """Wait until the ticket, a number at this address, is ours; False if it will not be, because a thread failed.

    Pieces of work are taken in order, so those that are waited for are done or being worked on.
    """
    if team == 0:
        return True
    looks = 0
    while load_atomic(ticket) != number:
        if load_atomic(team + _FAILED) != 0:
            return False
        looks += 1
        if looks % YIELD_AFTER == 0:
            yield_processor()
        make_wanted_ready()
        pause()
    return True


@inlined
def pass_ticket(team, ticket, number):
    """Let the one go on who waits for this number."""
    if team != 0:
        store_atomic(ticket, number)


def new_board():
    """An empty board; its address, a multiple of a cache line's length, is `board.ctypes.data`."""
    room = np.zeros(BOARD_SIZE + _LINE // 8, np.int64)
    start = -room.ctypes.data % _LINE // 8
    return room[start : start + BOARD_SIZE]


def part_of(board, helper):
    """The entries of one helper, as a view."""
    start = (_HELPERS + helper * _HELPER) // 8
    return board[start : start + _LINE // 8]
