"""A function with some of its arguments bound, as a value: what a pass over rows is told to do with each block of them.

Numba compiles a caller anew for each function that it is handed, and cannot keep the result on disk. A closure is two
numbers instead, the addresses of machine code and of the bound arguments; a caller is compiled once for all closures
that take arguments of the same types. It is made in the stack frame of a function that is still running when it is
called (LLVM takes what an inlined function leaves on the stack for dead, so that none may return one), and `keep` holds
the bound arrays until then.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import cgutils, config, excinfo_ptr_t

_NUMBER = ir.IntType(64)


def function_type(context, taken):
    """What the machine code of a closure is for LLVM: given the address of the bound arguments, and what `call` gives.

    In Numba's calling convention, so that what is raised can be passed on.
    """
    return context.call_conv.get_function_type(types.none, (types.voidptr, *taken))


@intrinsic
def bind(typingctx, function, arguments, taken):
    """The closure of function(*taken, *arguments), for `taken` of the types of these (a tuple)."""
    called = function.get_call_type(typingctx, (*taken.types, *arguments.types), {})

    def codegen(context, builder, signature, args):
        return closure_in(context, builder, function, called, arguments, args[1])

    return types.UniTuple(types.int64, 2)(function, arguments, taken), codegen


def closure_in(context, builder, function, called, arguments, values):
    """The closure of a function, whose signature says what it takes, and of a tuple of arguments."""
    taken = called.args[: len(called.args) - len(arguments.types)]
    kinds = [context.get_value_type(t) for t in arguments.types]
    frame_kind = ir.LiteralStructType(kinds)
    frame = cgutils.alloca_once(builder, frame_kind)
    for position, value in enumerate(cgutils.unpack_tuple(builder, values, len(kinds))):
        builder.store(value, cgutils.gep_inbounds(builder, frame, 0, position))
    kind = function_type(context, taken)
    closure = ir.Function(builder.module, kind, builder.module.get_unique_name("closure"))
    closure.linkage = "internal"
    inner = ir.IRBuilder(closure.append_basic_block("entry"))
    packer = context.get_arg_packer((types.voidptr, *taken))
    address, *given = packer.from_arguments(inner, context.call_conv.get_arguments(closure))
    bound = inner.bitcast(address, frame_kind.as_pointer())
    given += [inner.load(cgutils.gep_inbounds(inner, bound, 0, position)) for position in range(len(kinds))]
    context.get_function(function, called)(inner, given)
    inner.ret(ir.Constant(ir.IntType(32), 0))
    addresses = [builder.ptrtoint(closure, _NUMBER), builder.ptrtoint(frame, _NUMBER)]
    return context.make_tuple(builder, types.UniTuple(types.int64, 2), addresses)


@intrinsic
def call(typingctx, closure, taken):
    """Call it; what it raises is raised here."""

    def codegen(context, builder, signature, args):
        _propagate(context, builder, *_called(context, builder, args, taken))
        return context.get_dummy_value()

    return types.void(closure, taken), codegen


@intrinsic
def status_of_call(typingctx, closure, taken):
    """Call it: (0, 0), or what `raise_status` takes to raise what it raised."""

    def codegen(context, builder, signature, args):
        code, raised = _called(context, builder, args, taken)
        status = [builder.sext(code, _NUMBER), builder.ptrtoint(raised, _NUMBER)]
        return context.make_tuple(builder, signature.return_type, status)

    return types.UniTuple(types.int64, 2)(closure, taken), codegen


@intrinsic
def raise_status(typingctx, status):
    """Raise what a call raised; nothing if its status is 0."""

    def codegen(context, builder, signature, args):
        code, raised = cgutils.unpack_tuple(builder, args[0], 2)
        raised = builder.inttoptr(raised, excinfo_ptr_t)
        _propagate(context, builder, builder.trunc(code, ir.IntType(32)), raised)
        return context.get_dummy_value()

    return types.void(status), codegen


@intrinsic
def keep(typingctx, arguments):
    """Bound arguments are no references that Numba counts: it may not let go of what they point to before this."""
    return types.void(arguments), lambda context, builder, signature, args: context.get_dummy_value()


def frame_of_call(context, builder):
    """What the function of a closure is given first: room for its result, which is nothing, and for what it raises."""
    result = context.data_model_manager[types.none].get_return_type()
    return cgutils.alloca_once(builder, result), cgutils.alloca_once(builder, excinfo_ptr_t)


def _called(context, builder, args, taken):
    kind = function_type(context, taken.types)
    address, frame = cgutils.unpack_tuple(builder, args[0], 2)
    result, raised = frame_of_call(context, builder)
    packer = context.get_arg_packer((types.voidptr, *taken.types))
    values = [builder.inttoptr(frame, ir.IntType(8).as_pointer())]
    values += cgutils.unpack_tuple(builder, args[1], len(taken.types))
    closure = builder.inttoptr(address, kind.as_pointer())
    code = builder.call(closure, [result, raised, *packer.as_arguments(builder, values)])
    return code, builder.load(raised)


def _propagate(context, builder, code, raised):
    status = context.call_conv._get_return_status(builder, code, raised)
    with cgutils.if_unlikely(builder, status.is_error):
        context.call_conv.return_status_propagate(builder, status)


if config.DISABLE_JIT:

    def bind(function, arguments, taken):
        """The function of the arguments that come before these."""
        return lambda *before: function(*before, *arguments)

    def call(closure, taken):
        """Call it."""
        closure(*taken)

    def keep(arguments):
        """Nothing to do."""
