"""How every kernel is compiled.

Six decorators hold all JIT options. No fast-math flag is among them: nnan and ninf would make NaN rows and masks
undefined, reassoc cancels the rounding trick that exp is built on, and contract would leave it to the compiler where a
multiplication is fused with an addition, so that CPUs would differ in their last bits: `simd.fma` says where.

Numba would link a callee's optimised code into each caller and optimise it there once more. Here (libraries.py)

- a `kernel` is machine code of its own: it is compiled once for each kind of arguments, kept on disk, and called by
  its symbol from other kernels. Python and a user's @njit code can call it;
- a `whole_call` is a kernel that Python calls as a built-in function, with arrays of certain kinds (whole_calls.py);
- a `routine` is a kernel without a way in from Python. What is `deferred` is compiled when it is first called
  (deferred.py): what most first calls do without, and what returns nothing;
- what is `inlined` exists in its callers alone, with which it is optimised once (a call in the middle of a row costs
  much of its time: 17 classes, 14 ns against 11); what is `linked` too, but LLVM decides whether to inline it;
- an `inlined_overload` is the code of a function whose body depends on the types of its arguments.

Arrays are borrowed: nothing counts references to them, which took half the time of a call of ten numbers, and made
threads wait for each other. `counts_references=True` is for what makes an array, or calls what returns a new one: else
nobody would free it (tests/test_references.py). Numba asks for it, too, where an array is returned by itself, even a
view (views.py); in a tuple what counts no references may return views, but none of its arguments.
"""

import os

import numba
from numba import types
from numba.extending import overload

from fastsoftmax.kernels.jit.deferred import defer
from fastsoftmax.kernels.jit.entries import Form
from fastsoftmax.kernels.jit.first_call import hasten
from fastsoftmax.kernels.jit.libraries import InlinedCompiler, KernelCompiler
from fastsoftmax.kernels.jit.machine_code import MachineCode
from fastsoftmax.kernels.jit.numba_internals import COUNTS_REFERENCES, config, global_compiler_lock
from fastsoftmax.kernels.jit.whole_calls import WholeCall

# Of a process that is forked while another thread compiles, the child would wait for ever for the lock of a thread that
# it does not have, and LLVM would be in the middle of something: the fork waits until it is compiled.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )

_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_OPTIONS = {"error_model": "numpy", "nogil": True, "fastmath": False}  # said, or a caller's would be handed down
_LINKED = {"forceinline": False, "pipeline_class": InlinedCompiler, **_NO_WRAPPERS}
_INLINED = {**_LINKED, "forceinline": True}


def kernel(function=None, *, counts_references=False, deferred=False):
    """Compile by itself, callable from Python; the order of additions stays as written."""
    compiled = _compiled_when_called if deferred else _compiled_alone
    return _decorated(function, compiled, counts_references, no_cfunc_wrapper=True)


def whole_call(*dimensions, small, counts_references=False):
    """What a public function does with arrays that need no preparation: see entries.Form, and WholeCall."""

    def decorate(function):
        return WholeCall(kernel(function, counts_references=counts_references), Form(dimensions, small))

    return decorate


def routine(function=None, *, counts_references=False, deferred=False):
    """Compile by itself, for other kernels; if `deferred`, not before one calls it."""
    compiled = _compiled_when_called if deferred else _compiled_alone
    return _decorated(function, compiled, counts_references, **_NO_WRAPPERS)


def inlined(function=None, *, counts_references=False):
    """Compile into each caller."""
    return _decorated(function, _compiled_into_callers, counts_references, **_INLINED)


def linked(function):
    """Compile into each caller, and leave it to LLVM whether to inline it: what is large or seldom needed."""
    return _decorated(function, _compiled_into_callers, False, **_LINKED)


def inlined_overload(function, *, counts_references=False):
    """Register what is decorated as the code of the function for given types; it becomes a part of its callers."""
    return overload(function, jit_options={**_OPTIONS, **_INLINED, COUNTS_REFERENCES: counts_references})


def _decorated(function, compiled, counts_references, **options):
    def decorate(function):
        if config.DISABLE_JIT:
            return function
        return compiled(function, {**_OPTIONS, **options, COUNTS_REFERENCES: counts_references})

    return decorate if function is None else decorate(function)


def _compiled_into_callers(function, options):
    # True and False stay types: without them products with the Jacobian take up to 1.4 times as long
    return _for_kinds(numba.njit(**options)(function), types.IntegerLiteral)


def _compiled_alone(function, options):
    return _for_kinds(_kept(function, options), types.Literal)


def _compiled_when_called(function, options):
    return _for_kinds(defer(_kept(function, options)), types.Literal)


def _kept(function, options):
    # forceinline is said, because it would be handed down from an inlined function that calls this one
    dispatcher = numba.njit(forceinline=False, pipeline_class=KernelCompiler, **options)(function)
    hasten(dispatcher)
    if MachineCode.keeps(function):
        dispatcher._cache = MachineCode(dispatcher)
    return dispatcher


def _for_kinds(dispatcher, constants):
    """Compile for the kinds of arguments: to Numba each constant is a type of its own, for which it compiles anew."""

    def kind(given):
        if isinstance(given, types.BaseTuple) and not isinstance(given, types.BaseNamedTuple):
            return types.BaseTuple.from_types(tuple(map(kind, given.types)))
        return types.unliteral(given) if isinstance(given, constants) else given

    template_of = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: template_of(
        tuple(map(kind, args)), {name: kind(given) for name, given in kws.items()}
    )
    return dispatcher
