"""Rows dealt out to threads, in compiled code: who calls a kernel leads, and helpers that are awake join in.

A helper is a thread that the C library starts (pthread_create) and that Python knows nothing of: no patch of Python's
threads turns it into something else, it can be started while the interpreter shuts down, and it never waits for the
interpreter's lock. It watches the board of its team for a job. A job is a function of a span of rows,
`span(first, last, *arguments)`, and a number of rows; leader and helpers take turns of rows from one counter. So nobody
waits for a helper to come: a leader whose helpers sleep does all the rows. It only waits, at the end, for those that
have begun a turn. Handing a job over takes about a microsecond. (Numba's own parallel loops would abort in a forked
child, or on two launches at once, depending on the threading layer.)

A helper that has found no job for a while sleeps on a condition variable in its part of the board, until a leader
signals it. It works in the leader's floating-point mode (rounding, subnormals flushed to zero), so that the results are
those of the leader alone.

The board is an array of int64, given by its address (0: no team). Its entries lie a cache line apart.
"""

import os
import platform
import sys

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_process_triple
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from fastsoftmax.kernels._jit import kernel, outline

_LINE = 64  # bytes
_OPEN = 0 * _LINE  # number of the job that can be joined, or 0
_NEXT = 1 * _LINE  # first row that nobody has taken
_INSIDE = 2 * _LINE  # helpers that may be looking at the job
_JOB = 3 * _LINE  # function, arguments, rows, rows a turn, how many helpers may join, floating-point mode: 8 bytes each
_FAILED = 4 * _LINE  # not 0 if a turn raised
_LAST_JOB = 5 * _LINE
_CLOSED = 6 * _LINE  # not 0: helpers end
_STARTED = 7 * _LINE  # how many helpers there are
_SIGNALS, _SIGNALS_BEFORE = 8 * _LINE, 10 * _LINE  # two sigset_t: what helpers leave to others, and what a starter left
_HELPERS = 12 * _LINE  # three lines each: what follows, a mutex, and a condition variable
_HELPER = 3 * _LINE
_ASLEEP, _THREAD, _TID, _FUNCTION, _ARGUMENTS, _MUTEX, _CONDITION = 0, 8, 16, 24, 32, _LINE, 2 * _LINE
MOST_HELPERS = 255
BOARD_SIZE = (_HELPERS + MOST_HELPERS * _HELPER) // 8
# What Python writes and reads: positions in the board, and in the part of a helper
WELCOME, CLOSED, STARTED, SIGNALS = (_JOB + 32) // 8, _CLOSED // 8, _STARTED // 8, _SIGNALS // 8
ASLEEP, TID = _ASLEEP // 8, _TID // 8

TURN = 16_384  # elements: 3 to 10 us
YIELD_AFTER = 1_000  # looks: with more threads than cores, the one that is waited for may need ours
PATIENCE = 4_000  # looks at the board before a helper sleeps: about 0.2 ms
SMALL = 32_768  # elements: below, one thread is enough, and the overhead of a call counts


@outline
def share(team, n_rows, n_columns, span, arguments):
    """span(first, last, *arguments) for all of n_rows rows, in turns of about TURN elements if there is a team."""
    function, packed = _as_job(span, arguments)
    if not _lead(team, function, packed, n_rows, 16 * max(1, TURN // (16 * max(1, n_columns)))):
        raise MemoryError("a thread found no memory for a row")
    _keep(arguments)


@outline
def share_each(team, n_pieces, span, arguments):
    """span(first, last, *arguments) for all pieces of work, one a turn."""
    function, packed = _as_job(span, arguments)
    if not _lead(team, function, packed, n_pieces, 1):
        raise MemoryError("a thread found no memory for a row")
    _keep(arguments)


@kernel
def team_size(team):
    """How many may work on a job, the leader included."""
    return 1 if team == 0 else 1 + _get(team + _JOB + 32)


@kernel
def await_turn(team, place, number):
    """Wait until the number at the place (an address) is this one; False if it will not be, because a thread failed.

    Pieces of work are taken in order, so those that are waited for are done or being worked on.
    """
    if team == 0:
        return True
    looks = 0
    while _get(place) != number:
        if _get(team + _FAILED) != 0:
            return False
        looks += 1
        if looks % YIELD_AFTER == 0:
            _yield()
        _pause()
    return True


@kernel
def pass_turn(team, place, number):
    """Let the one go on who waits for this number."""
    if team != 0:
        _set(place, number)


@kernel
def _lead(team, function, packed, n_rows, turn):
    if team == 0:
        return _run(function, packed, 0, n_rows) == 0
    number = _get(team + _LAST_JOB) + 1
    _set(team + _LAST_JOB, number)
    _set(team + _JOB, function)
    _set(team + _JOB + 8, packed)
    _set(team + _JOB + 16, n_rows)
    _set(team + _JOB + 24, turn)
    _set(team + _JOB + 40, _float_mode())
    _set(team + _NEXT, 0)
    _set(team + _FAILED, 0)
    _set(team + _OPEN, number)
    for helper in range(_get(team + _JOB + 32)):
        _wake(team, helper)
    _take_turns(team, function, packed, n_rows, turn, False)
    _set(team + _OPEN, 0)
    while _get(team + _INSIDE) != 0:
        _pause()
    return _get(team + _FAILED) == 0


@kernel
def _take_turns(team, function, packed, n_rows, turn, helps):
    while not helps or _get(team + _CLOSED) == 0:  # the leader does what is left of the rows
        first = _add(team + _NEXT, turn)
        if first >= n_rows:
            break
        if _run(function, packed, first, min(first + turn, n_rows)) != 0:
            _set(team + _FAILED, 1)


@kernel
def start_helpers(team, n_helpers, block, set_mask):
    """Start threads until there are so many helpers, or the system has none to give: how many there are.

    block, set_mask: SIG_BLOCK and SIG_SETMASK. In compiled code, so that no exception of Python's comes between a
    thread and its being counted, or leaves signals blocked.
    """
    _pthread_sigmask(block, team + _SIGNALS, team + _SIGNALS_BEFORE)  # a thread begins with its starter's mask
    helper = _get(team + _STARTED)
    while helper < n_helpers and _get(team + _CLOSED) == 0:
        here = team + _HELPERS + helper * _HELPER
        _set(here + _FUNCTION, _as_job(_serve, (team, np.int64(helper)))[0])
        _set(here + _ARGUMENTS, team)  # packed as _as_job packs them, where they stay
        _set(here + _ARGUMENTS + 8, helper)
        _pthread_mutex_init(here + _MUTEX, 0)
        _pthread_cond_init(here + _CONDITION, 0)
        if _pthread_create(here + _THREAD, 0, _thread_function(), here + _FUNCTION) != 0:
            _pthread_mutex_destroy(here + _MUTEX)
            _pthread_cond_destroy(here + _CONDITION)
            break
        helper += 1
        _set(team + _STARTED, helper)
    _pthread_sigmask(set_mask, team + _SIGNALS_BEFORE, 0)
    return helper


@kernel
def dismiss(team):
    """End the helpers of a closed team, and wait until they have ended."""
    n_helpers = _get(team + _STARTED)
    for helper in range(n_helpers):
        _wake(team, helper)
    for helper in range(n_helpers):
        _pthread_join(_get(team + _HELPERS + helper * _HELPER + _THREAD), 0)


@kernel
def _wake(team, helper):
    here = team + _HELPERS + helper * _HELPER
    if _get(here + _ASLEEP) != 0:
        _pthread_mutex_lock(here + _MUTEX)
        _set(here + _ASLEEP, 0)
        _pthread_mutex_unlock(here + _MUTEX)
        _pthread_cond_signal(here + _CONDITION)


@kernel
def _sleep(team, here):
    # A leader opens a job and then looks whether we sleep; we say so and then look for a job. So one of both sees the
    # other, and whoever finds us asleep wakes us: no job and no closing is slept through.
    _set(here + _ASLEEP, 1)
    if _get(team + _OPEN) == 0 and _get(team + _CLOSED) == 0:
        _pthread_mutex_lock(here + _MUTEX)
        while _get(here + _ASLEEP) != 0:
            _pthread_cond_wait(here + _CONDITION, here + _MUTEX)
        _pthread_mutex_unlock(here + _MUTEX)
    _set(here + _ASLEEP, 0)


@kernel
def _serve(first, last, team, helper):
    # Help with jobs until the team is closed. A span without rows, so that a thread can begin with it as with a job.
    last_job, looks, here = 0, 0, team + _HELPERS + helper * _HELPER
    _set(here + _TID, _thread_id())
    while _get(team + _CLOSED) == 0:
        looks += 1
        number = _get(team + _OPEN)
        if number != 0 and number != last_job:
            _add(team + _INSIDE, 1)
            number = _get(team + _OPEN)  # from here on the leader waits for us
            job = team + _JOB
            if number != 0 and helper < _get(job + 32):
                _set_float_mode(_get(job + 40))
                _take_turns(team, _get(job), _get(job + 8), _get(job + 16), _get(job + 24), True)
            last_job = number
            _add(team + _INSIDE, -1)
            looks = 0
        elif looks > PATIENCE:
            _sleep(team, here)
            looks = 0
        _pause()


def _place(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _get(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def _set(typingctx, address, value):
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], _place(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _add(typingctx, address, value):
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _place(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


def _call(builder, name, result, arguments, var_arg=False):
    kind = ir.FunctionType(result, [argument.type for argument in arguments], var_arg)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _is_x86():
    return get_process_triple().startswith("x86_64")


def _is_arm64():
    return get_process_triple().startswith(("aarch64", "arm64"))


@intrinsic
def _pause(typingctx):
    def codegen(context, builder, signature, args):
        if _is_x86():
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        elif _is_arm64():
            _call(builder, "llvm.aarch64.isb", ir.VoidType(), [ir.IntType(32)(15)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _float_mode(typingctx):
    # how this thread rounds, and whether it flushes subnormals to zero
    def codegen(context, builder, signature, args):
        number = ir.IntType(64)
        if _is_x86():
            place = cgutils.alloca_once(builder, ir.IntType(32))
            _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [builder.bitcast(place, ir.IntType(8).as_pointer())])
            return builder.zext(
                builder.and_(builder.load(place), ir.IntType(32)(0xFFC0)), number
            )  # without past events
        return _call(builder, "llvm.aarch64.get.fpcr", number, []) if _is_arm64() else number(0)

    return types.int64(), codegen


@intrinsic
def _set_float_mode(typingctx, mode):
    def codegen(context, builder, signature, args):
        if _is_x86():
            place = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), place)
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [builder.bitcast(place, ir.IntType(8).as_pointer())])
        elif _is_arm64():
            _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [args[0]])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _c_function(name, n_arguments):
    """An intrinsic that calls a function of the C library: its arguments are as long as an address, its result an int.

    Where there are no POSIX threads nothing is called: no helper is ever started there.
    """
    number = ir.IntType(64)

    def codegen(context, builder, signature, args):
        if os.name != "posix":
            return number(0)
        return builder.sext(_call(builder, name, ir.IntType(32), list(args)), number)

    kind = types.int64(*[types.int64] * n_arguments)
    if n_arguments == 0:
        return intrinsic(lambda typingctx: (kind, codegen))
    if n_arguments == 1:
        return intrinsic(lambda typingctx, a: (kind, codegen))
    if n_arguments == 2:
        return intrinsic(lambda typingctx, a, b: (kind, codegen))
    if n_arguments == 3:
        return intrinsic(lambda typingctx, a, b, c: (kind, codegen))
    return intrinsic(lambda typingctx, a, b, c, d: (kind, codegen))


_pthread_create, _pthread_join = _c_function("pthread_create", 4), _c_function("pthread_join", 2)
_pthread_sigmask = _c_function("pthread_sigmask", 3)
_pthread_mutex_init, _pthread_mutex_destroy = (
    _c_function("pthread_mutex_init", 2),
    _c_function("pthread_mutex_destroy", 1),
)
_pthread_cond_init, _pthread_cond_destroy = _c_function("pthread_cond_init", 2), _c_function("pthread_cond_destroy", 1)
_pthread_mutex_lock, _pthread_mutex_unlock = (
    _c_function("pthread_mutex_lock", 1),
    _c_function("pthread_mutex_unlock", 1),
)
_pthread_cond_wait, _pthread_cond_signal = _c_function("pthread_cond_wait", 2), _c_function("pthread_cond_signal", 1)
_yield = _c_function("sched_yield", 0)
_GETTID = {"x86_64": 186, "aarch64": 178}  # of Linux; its C library has no function for it before glibc 2.30


@intrinsic
def _thread_id(typingctx):
    # by which Linux knows this thread; 0 elsewhere
    def codegen(context, builder, signature, args):
        number = ir.IntType(64)
        if sys.platform != "linux" or platform.machine() not in _GETTID:
            return number(0)
        return _call(builder, "syscall", number, [number(_GETTID[platform.machine()])], var_arg=True)

    return types.int64(), codegen


@intrinsic
def _thread_function(typingctx):
    # the address of what a thread runs: given the address of a job and, behind it, its arguments, the job
    def codegen(context, builder, signature, args):
        byte, job_kind = ir.IntType(8).as_pointer(), _job_function(context)
        kind = ir.FunctionType(byte, [byte])
        function = ir.Function(builder.module, kind, builder.module.get_unique_name("thread"))
        function.linkage = "internal"
        inner, none = ir.IRBuilder(function.append_basic_block("entry")), ir.IntType(64)(0)
        place = inner.bitcast(function.args[0], ir.IntType(64).as_pointer())
        job = inner.inttoptr(inner.load(place), job_kind.as_pointer())
        arguments = inner.bitcast(inner.gep(place, [ir.IntType(32)(1)]), byte)
        result, error = (cgutils.alloca_once(inner, kind.pointee) for kind in job_kind.args[:2])
        inner.call(job, [result, error, arguments, none, none])
        inner.ret(ir.Constant(byte, None))
        return builder.ptrtoint(function, ir.IntType(64))

    return types.int64(), codegen


def _job_function(context):
    """The type of a job: Numba's calling convention, so that what its kernel raises can be passed on as a status."""
    return context.call_conv.get_function_type(types.none, (types.voidptr, types.intp, types.intp))


@intrinsic
def _as_job(typingctx, span, arguments):
    # the addresses of a function of (packed arguments, first, last), and of the packed arguments
    called = span.get_call_type(typingctx, (types.intp, types.intp, *arguments.types), {})

    def codegen(context, builder, signature, args):
        kinds = [context.get_value_type(t) for t in arguments.types]
        packed_kind = ir.LiteralStructType(kinds)
        packed = cgutils.alloca_once(builder, packed_kind)
        for position, value in enumerate(cgutils.unpack_tuple(builder, args[1], len(kinds))):
            builder.store(value, cgutils.gep_inbounds(builder, packed, 0, position))
        name = builder.module.get_unique_name("job")
        job = ir.Function(builder.module, _job_function(context), name)
        job.linkage = "internal"
        inner = ir.IRBuilder(job.append_basic_block("entry"))
        pointer, first, last = job.args[-3:]
        pointer = inner.bitcast(pointer, packed_kind.as_pointer())
        values = [inner.load(cgutils.gep_inbounds(inner, pointer, 0, position)) for position in range(len(kinds))]
        context.get_function(span, called)(inner, [first, last, *values])
        inner.ret(ir.Constant(ir.IntType(32), 0))
        number = ir.IntType(64)
        return context.make_tuple(
            builder, signature.return_type, [builder.ptrtoint(job, number), builder.ptrtoint(packed, number)]
        )

    return types.UniTuple(types.int64, 2)(span, arguments), codegen


@intrinsic
def _keep(typingctx, arguments):
    # packed arguments are no references that Numba counts: what they point to must live until the job is done
    return types.void(arguments), lambda context, builder, signature, args: context.get_dummy_value()


@intrinsic
def _run(typingctx, function, packed, first, last):
    def codegen(context, builder, signature, args):
        kind = _job_function(context)
        job = builder.inttoptr(args[0], kind.as_pointer())
        result = cgutils.alloca_once(builder, kind.args[0].pointee)
        error = cgutils.alloca_once(builder, kind.args[1].pointee)
        return builder.call(job, [result, error, builder.inttoptr(args[1], kind.args[2]), *args[2:]])

    return types.int32(types.int64, types.int64, types.int64, types.int64), codegen


if config.DISABLE_JIT:  # without machine code there is nothing to gain from threads

    def share(team, n_rows, n_columns, span, arguments):
        """All rows in one go."""
        span(0, n_rows, *arguments)

    def share_each(team, n_pieces, span, arguments):
        """All pieces in one go."""
        span(0, n_pieces, *arguments)


def new_board():
    """An empty board; its address, a multiple of a cache line's length, is `board.ctypes.data`."""
    room = np.zeros(BOARD_SIZE + _LINE // 8, np.int64)
    start = -room.ctypes.data % _LINE // 8
    return room[start : start + BOARD_SIZE]


def part_of(board, helper):
    """The entries of one helper, as a view."""
    start = (_HELPERS + helper * _HELPER) // 8
    return board[start : start + _LINE // 8]
