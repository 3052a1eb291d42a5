"""How every kernel is compiled.

Three decorators hold all JIT options. No fast-math flag is among them: nnan and ninf would make NaN rows and masks
undefined, reassoc cancels the rounding trick that exp is built on, and contract would leave it to the compiler where a
multiplication is fused with an addition, so that CPUs would differ in their last bits: `simd.fma` says where.

`kernel` compiles a function by itself, `step` a piece that must become a part of its callers, and `outline` copies into
its callers, before their types are known, what only arranges calls: its own machine code would be compiled for nobody.
"""

import numba
from numba.core import config

from fastsoftmax.kernels._machine_code import MachineCode


def kernel(function):
    """Compile for exact work: the order of additions stays as written."""
    return _compile(function, forceinline=False)  # said, because it would be handed down from a step that calls it


def step(function):
    """Compile into each caller: a call in the middle of a row costs much of its time (17 classes: 14 ns against 11)."""
    return _compile(function, forceinline=True)


def outline(function):
    """Copy into each caller what only arranges calls (a pass of linear.py: 10 s of compiling against 80)."""
    return _compile(function, inline="always")


def _compile(function, **options):
    if config.DISABLE_JIT:
        return function
    dispatcher = numba.njit(error_model="numpy", nogil=True, **options)(function)
    name = f"{function.__module__}.{function.__qualname__}"
    # Of other files the text is not known; and what one function makes of several would all have one name.
    known = function.__module__.rpartition(".")[0] == __package__ and "<locals>" not in name
    if known and options == {"forceinline": False}:  # what becomes a part of its callers is kept with them
        dispatcher._cache = MachineCode(name)
    return dispatcher
