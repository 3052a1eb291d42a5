"""What a team of threads needs of the machine and of the C library: numbers that threads share, a pause, the mode of
floating-point arithmetic, POSIX threads. Numba intrinsics; addresses are int64.
"""

import os
import platform
import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import cgutils
from fastsoftmax.kernels.simd.target import is_arm64, is_x86


def _place(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def load_atomic(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def store_atomic(typingctx, address, value):
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], _place(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def add_atomic(typingctx, address, value):
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _place(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


def _call(builder, name, result, arguments, var_arg=False):
    kind = ir.FunctionType(result, [argument.type for argument in arguments], var_arg)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def pause(typingctx):
    def codegen(context, builder, signature, args):
        if is_x86(context):
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        elif is_arm64(context):
            _call(builder, "llvm.aarch64.isb", ir.VoidType(), [ir.IntType(32)(15)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def float_mode(typingctx):
    # how this thread rounds, and whether it flushes subnormals to zero
    def codegen(context, builder, signature, args):
        number = ir.IntType(64)
        if is_x86(context):
            place = cgutils.alloca_once(builder, ir.IntType(32))
            _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [builder.bitcast(place, ir.IntType(8).as_pointer())])
            return builder.zext(
                builder.and_(builder.load(place), ir.IntType(32)(0xFFC0)), number
            )  # without past events
        return _call(builder, "llvm.aarch64.get.fpcr", number, []) if is_arm64(context) else number(0)

    return types.int64(), codegen


@intrinsic
def set_float_mode(typingctx, mode):
    def codegen(context, builder, signature, args):
        if is_x86(context):
            place = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), place)
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [builder.bitcast(place, ir.IntType(8).as_pointer())])
        elif is_arm64(context):
            _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [args[0]])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def has_threads() -> bool:
    """Whether helpers can be started: by POSIX threads, of a C library whose addresses are int64."""
    return os.name == "posix" and sys.maxsize > 2**32


def _c_function(name, n_arguments):
    """An intrinsic that calls a function of the C library: its arguments are as long as an address, its result an int.

    Where there are no threads nothing is called: no helper is ever started there.
    """
    number = ir.IntType(64)

    def codegen(context, builder, signature, args):
        if not has_threads():
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


pthread_create, pthread_join = _c_function("pthread_create", 4), _c_function("pthread_join", 2)
pthread_sigmask = _c_function("pthread_sigmask", 3)
pthread_mutex_init, pthread_mutex_destroy = (
    _c_function("pthread_mutex_init", 2),
    _c_function("pthread_mutex_destroy", 1),
)
pthread_cond_init, pthread_cond_destroy = _c_function("pthread_cond_init", 2), _c_function("pthread_cond_destroy", 1)
pthread_mutex_lock, pthread_mutex_unlock = (
    _c_function("pthread_mutex_lock", 1),
    _c_function("pthread_mutex_unlock", 1),
)
pthread_cond_wait, pthread_cond_signal = _c_function("pthread_cond_wait", 2), _c_function("pthread_cond_signal", 1)
yield_processor = _c_function("sched_yield", 0)
_GETTID = {"x86_64": 186, "aarch64": 178}  # of Linux; its C library has no function for it before glibc 2.30


@intrinsic
def thread_id(typingctx):
    # by which Linux knows this thread; 0 elsewhere
    def codegen(context, builder, signature, args):
        number = ir.IntType(64)
        if sys.platform != "linux" or platform.machine() not in _GETTID:
            return number(0)
        return _call(builder, "syscall", number, [number(_GETTID[platform.machine()])], var_arg=True)

    return types.int64(), codegen
