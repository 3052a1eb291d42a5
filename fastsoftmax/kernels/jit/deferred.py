"""Kernels that are compiled when another kernel first calls them, because most processes never do.

A caller does not call them by their symbol but through a cell, which holds their address, or 0 until they are ready:
then the caller has them compiled, or loaded, by Python (`_make_ready`). What a thread of Python finds missing it
compiles itself. A helper (kernels/threads.py) is unknown to Python and has a small stack on some systems: it says what
it wants and waits, and whoever leads it compiles that while he waits for helpers anyway (`make_wanted_ready`).

Such a kernel returns nothing: what it would return is not known before it is compiled.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import sys
import traceback
from types import SimpleNamespace

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import (
    cgutils,
    config,
    cpu_target,
    excinfo_ptr_t,
    global_compiler_lock,
    signature,
    typing,
)

_NUMBER = ir.IntType(64)
_ADDRESS, _IS_WANTED, _FAILURE = range(3)  # what is in a cell
_INTERRUPTED, _FAILED = 1, 2
_MAKE_READY, _WANTED, _FIRST_CALL = "fastsoftmax.make_ready", "fastsoftmax.wanted", "fastsoftmax.first_call"


class Deferred:
    """A kernel for arguments of given types that need not be ready; among the libraries that its callers link."""

    _reload_init: frozenset = frozenset()
    is_called = False  # by code that is compiled, or was loaded: types alone may be of a caller that is refused

    def __init__(self, dispatcher, arguments):
        self._dispatcher, self._arguments = dispatcher, arguments
        function = dispatcher.py_func
        self.identity = function.__module__, function.__qualname__, arguments
        names = repr((id(dispatcher) if "<locals>" in function.__qualname__ else 0, *self.identity))
        self.cell = f"fastsoftmax.cell.{function.__name__}.{hashlib.sha256(names.encode()).hexdigest()[:16]}"
        self._state = (ctypes.c_int64 * 3)()
        binding.add_symbol(self.cell, ctypes.addressof(self._state))

    def _ensure_finalized(self):
        """Nothing is to be done now."""

    @property
    def is_ready(self):
        return self._state[_ADDRESS] != 0

    @property
    def is_wanted(self):
        return self._state[_IS_WANTED] != 0

    def make_ready(self):
        """Have it compiled or loaded, and let callers know its address. -> its library."""
        self._state[_IS_WANTED] = 0
        with global_compiler_lock:  # until LLVM has said where it is, too: nobody forks meanwhile
            self._dispatcher.compile(self._arguments)
            result = self._dispatcher.overloads[self._arguments]
            if not self.is_ready:
                self._state[_ADDRESS] = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
            return result.library

    def fail(self, code):
        """Let helpers that wait for it know that it will not be ready."""
        self._state[_FAILURE] = code

    def _get_module_for_linking(self):
        """The whole of it: of a function that is no kernel, and calls it itself."""
        module, library = self.as_constant(), self.make_ready()
        module.link_in(library._get_module_for_linking(), preserve=True)
        return module

    def as_constant(self):
        """A module in which the cell is a constant: for what is linked with all that it calls."""
        self.make_ready()
        name = self._dispatcher.overloads[self._arguments].fndesc.llvm_func_name
        content = f"[3 x i64] [i64 ptrtoint (ptr @{name} to i64), i64 0, i64 0]"
        return binding.parse_assembly(f'@"{self.cell}" = linkonce_odr constant {content}\ndeclare void @{name}()\n')


@functools.cache
def deferred(dispatcher, arguments):
    """The one object for a kernel and the types of its arguments."""
    found = Deferred(dispatcher, arguments)
    _BY_ADDRESS[ctypes.addressof(found._state)] = found
    return found


_BY_ADDRESS: dict[int, Deferred] = {}


def make_all_ready():
    """Have everything compiled that what is compiled may call."""
    while waiting := [each for each in list(_BY_ADDRESS.values()) if each.is_called and not each.is_ready]:
        for each in waiting:
            each.make_ready()


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
def _make_ready(address):
    # of the cell that is asked for, or of all that helpers want (0). -> why it is not ready, or 0
    code = 0
    if address == 0:
        _wanted.value = 0
    for each in [_BY_ADDRESS[address]] if address else [each for each in list(_BY_ADDRESS.values()) if each.is_wanted]:
        try:
            each.make_ready()
        except BaseException as error:
            code = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED
            each.fail(code)
            if code == _FAILED:
                with contextlib.suppress(Exception):  # sys.stderr may be None, or closed
                    _tell(error, each.identity)
    return code


def _tell(error, identity):
    """Say why, as Python says it of an error that nobody can catch."""
    if sys.unraisablehook is sys.__unraisablehook__:  # which takes nothing but what Python itself makes
        print(f"Not compiled: {identity}", file=sys.stderr)
        traceback.print_exception(error)
    else:
        told = {"exc_type": type(error), "exc_value": error, "exc_traceback": error.__traceback__}
        sys.unraisablehook(SimpleNamespace(err_msg="Not compiled", object=identity, **told))


_wanted = ctypes.c_int64(0)
binding.add_symbol(_MAKE_READY, ctypes.cast(_make_ready, ctypes.c_void_p).value)
binding.add_symbol(_WANTED, ctypes.addressof(_wanted))


def defer(dispatcher):
    """Let kernels call it through its cell."""
    context = cpu_target.target_context

    def template_of(args, kws):
        described, args = dispatcher._compiler.fold_argument_types(args, kws)
        args = tuple(args)
        name = deferred(dispatcher, args).cell
        if name not in known:
            known.add(name)
            context.insert_func_defn([(_call_of(deferred(dispatcher, args)), name, args)])
        template = typing.make_concrete_template(name, key=name, signatures=[signature(types.none, *args)])
        return template, described, args, {}

    known: set[str] = set()
    dispatcher.get_call_template = template_of
    dispatcher.get_overload = lambda args: deferred(dispatcher, tuple(args)).cell
    return dispatcher


@intrinsic
def call_later(typingctx, function, arguments):
    """function(*arguments), a kernel that need not be ready before, as if it were deferred, and returns nothing."""
    kinds = tuple(map(types.unliteral, arguments.types))

    def codegen(context, builder, signature, args):
        callee = deferred(function.dispatcher, kinds)
        context.active_code_library.add_linking_library(callee)
        values = [
            context.cast(builder, value, given, wanted)
            for value, given, wanted in zip(
                cgutils.unpack_tuple(builder, args[1], len(kinds)), arguments.types, kinds, strict=True
            )
        ]
        return _call_of(callee)(context, builder, types.none(*kinds), values)

    return types.void(function, arguments), codegen


def _call_of(callee):
    def call(context, builder, signature, args):
        callee.is_called = True
        cell = _global(builder, callee.cell, ir.ArrayType(_NUMBER, 3))
        place = cgutils.gep_inbounds(builder, cell, 0, _ADDRESS)
        with cgutils.if_unlikely(builder, builder.icmp_unsigned("==", _load(builder, place), _NUMBER(0))):
            code = builder.call(_first_call(builder.module), [builder.ptrtoint(cell, _NUMBER)])
            _raise_if(context, builder, code)
        address = _load(builder, place)
        kind = context.call_conv.get_function_type(types.none, signature.args)
        result = cgutils.alloca_once(builder, context.data_model_manager[types.none].get_return_type())
        raised = cgutils.alloca_once(builder, excinfo_ptr_t)
        given = context.get_arg_packer(signature.args).as_arguments(builder, args)
        code = builder.call(builder.inttoptr(address, kind.as_pointer()), [result, raised, *given])
        status = context.call_conv._get_return_status(builder, code, builder.load(raised))
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    call.libs = (callee,)
    return call


def _raise_if(context, builder, code):
    with cgutils.if_unlikely(builder, builder.icmp_unsigned("==", code, _NUMBER(_INTERRUPTED))):
        context.call_conv.return_user_exc(builder, KeyboardInterrupt)
    with cgutils.if_unlikely(builder, builder.icmp_unsigned("==", code, _NUMBER(_FAILED))):
        context.call_conv.return_user_exc(builder, RuntimeError, ("a kernel could not be compiled",))


def _global(builder, name, kind):
    found = builder.module.globals.get(name)
    return found if found is not None else ir.GlobalVariable(builder.module, kind, name)


def _load(builder, place, order="unordered"):
    return builder.load_atomic(place, order, 8)


def _function(module, name, result, arguments):
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


def _is_known_to_python(builder):
    state = ir.IntType(8).as_pointer()
    found = builder.call(_function(builder.module, "PyGILState_GetThisThreadState", state, []), [])
    return builder.icmp_unsigned("!=", found, state(None))


def _first_call(module):
    """The function that has a kernel made ready, given the address of its cell. -> why it is not ready, or 0."""
    function = _function(module, _FIRST_CALL, _NUMBER, [_NUMBER])
    if function.blocks:
        return function
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    cell = builder.inttoptr(function.args[0], ir.ArrayType(_NUMBER, 3).as_pointer())
    address, wanted, failure = (cgutils.gep_inbounds(builder, cell, 0, k) for k in range(3))
    with builder.if_then(_is_known_to_python(builder)):
        builder.ret(builder.call(_function(module, _MAKE_READY, _NUMBER, [_NUMBER]), [function.args[0]]))
    for place, value in ((failure, 0), (wanted, 1), (_global(builder, _WANTED, _NUMBER), 1)):
        builder.store_atomic(_NUMBER(value), place, "seq_cst", 8)
    loop = builder.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    if os.name == "posix":  # elsewhere there are no helpers
        builder.call(_function(module, "sched_yield", ir.IntType(32), []), [])
    code = _load(builder, failure, "seq_cst")
    with builder.if_then(builder.icmp_unsigned("!=", _load(builder, address, "seq_cst"), _NUMBER(0))):
        builder.ret(_NUMBER(0))
    with builder.if_then(builder.icmp_unsigned("!=", code, _NUMBER(0))):
        builder.ret(code)
    builder.branch(loop)
    return function


@intrinsic
def make_wanted_ready(typingctx):
    """Have made ready what helpers wait for, if there is anything; helpers themselves do nothing."""

    def codegen(context, builder, signature, args):
        wanted = _load(builder, _global(builder, _WANTED, _NUMBER), "seq_cst")
        with cgutils.if_unlikely(builder, builder.icmp_unsigned("!=", wanted, _NUMBER(0))):
            known = _is_known_to_python(builder)
            with builder.if_then(known):
                builder.call(_function(builder.module, _MAKE_READY, _NUMBER, [_NUMBER]), [_NUMBER(0)])
        return context.get_dummy_value()

    return types.void(), codegen


if config.DISABLE_JIT:

    def call_later(function, arguments):
        """Call it."""
        function(*arguments)
