"""Rows dealt out to threads, in compiled code: who calls a kernel leads, and helpers that are awake join in.

A helper is a thread inside `serve`: without the interpreter's lock it watches the board of its team for a job. A job
is a function of a span of rows, `span(first, last, *arguments)`, and a number of rows; leader and helpers take turns of
rows from one counter. So nobody waits for a helper to come: a leader whose helpers sleep does all the rows. It only
waits, at the end, for those that have begun a turn. Handing a job over takes about a microsecond. (Numba's own parallel
loops would abort in a forked child, or on two launches at once, depending on the threading layer.)

A helper that has found no job for a while sleeps in a read of its bell, a file descriptor that the leader writes to.
That is done without the interpreter's lock: a helper that needed it to wake up would be kept waiting for it by a leader
that calls kernel after kernel (128 x 1000: 50 us a call against 16).

The board is an array of int64, given by its address (0: no team). Its entries lie a cache line apart.
"""

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
_JOB = 3 * _LINE  # function, arguments, rows, rows a turn, how many helpers may join: 8 bytes each
_FAILED = 4 * _LINE  # not 0 if a turn raised
_LAST_JOB = 5 * _LINE
_CLOSED = 6 * _LINE  # not 0: helpers go home
_HELPERS = 7 * _LINE  # one line each: whether it sleeps, and where its bell is read and written
MOST_HELPERS = 255
BOARD_SIZE = (_HELPERS + MOST_HELPERS * _LINE) // 8
# What Python writes and reads: positions in the board, and in a helper's line
WELCOME, CLOSED = (_JOB + 32) // 8, _CLOSED // 8
ASLEEP, BELL_TO_READ, BELL_TO_WRITE = 0, 1, 2

TURN = 16_384  # elements: 3 to 10 us
YIELD_AFTER = 1_000  # looks: with more threads than cores, the one that is waited for may need ours
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
    _set(team + _NEXT, 0)
    _set(team + _FAILED, 0)
    _set(team + _OPEN, number)
    for helper in range(_get(team + _JOB + 32)):
        _wake(team, helper)
    _take_turns(team, function, packed, n_rows, turn)
    _set(team + _OPEN, 0)
    while _get(team + _INSIDE) != 0:
        _pause()
    return _get(team + _FAILED) == 0


@kernel
def _take_turns(team, function, packed, n_rows, turn):
    first = _add(team + _NEXT, turn)
    while first < n_rows:
        if _run(function, packed, first, min(first + turn, n_rows)) != 0:
            _set(team + _FAILED, 1)
        first = _add(team + _NEXT, turn)


@kernel
def _wake(team, helper):
    bell = team + _HELPERS + helper * _LINE
    if _get(bell) != 0:
        _set(bell, 0)
        _ring(_get(bell + 16))


@kernel
def serve(team, helper, patience):
    """Help with jobs, and sleep when none has come for `patience` looks at the board, until the team is closed."""
    last, looks, bell = 0, 0, team + _HELPERS + helper * _LINE
    while _get(team + _CLOSED) == 0:
        looks += 1
        number = _get(team + _OPEN)
        if number != 0 and number != last and helper < _get(team + _JOB + 32):
            _add(team + _INSIDE, 1)
            number = _get(team + _OPEN)  # from here on the leader waits for us
            if number != 0:
                job = team + _JOB
                _take_turns(team, _get(job), _get(job + 8), _get(job + 16), _get(job + 24))
                last = number
            _add(team + _INSIDE, -1)
            looks = 0
        elif looks > patience:
            _set(bell, 1)
            if _get(team + _OPEN) == 0 and _get(team + _CLOSED) == 0:
                _wait(_get(bell + 8))
            _set(bell, 0)
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


@intrinsic
def _pause(typingctx):
    def codegen(context, builder, signature, args):
        if get_process_triple().startswith("x86_64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _eight_bytes(name):
    """An intrinsic that calls the C library's read or write on a file descriptor, with eight bytes of its own."""

    @intrinsic
    def transfer(typingctx, descriptor):
        def codegen(context, builder, signature, args):
            byte = ir.IntType(8).as_pointer()
            one = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), 1))
            kind = ir.FunctionType(ir.IntType(64), [ir.IntType(32), byte, ir.IntType(64)])
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            number = builder.trunc(args[0], ir.IntType(32))
            builder.call(function, [number, builder.bitcast(one, byte), ir.Constant(ir.IntType(64), 8)])
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    return transfer


_wait, _ring = _eight_bytes("read"), _eight_bytes("write")


@intrinsic
def _yield(typingctx):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen


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
    """An empty board; its address is `board.ctypes.data`."""
    return np.zeros(BOARD_SIZE, np.int64)


def line_of(board, helper):
    """The entries of one helper, as a view."""
    start = (_HELPERS + helper * _LINE) // 8
    return board[start : start + _LINE // 8]
