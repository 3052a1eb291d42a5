"""Kernels that refuse arguments of other types than they were made for.

Of each call Numba finds the machine code for the types of the arguments. Where it has none yet it asks to compile it:
there the arguments are looked at, and not before: a look at an array's layout from Python takes as long as a softmax of
ten numbers. Subclasses of arrays, and arrays of another byte order, look alike to Numba: its caller's to tell.
"""

from functools import wraps

import numpy as np

from fastsoftmax.kernels.jit.numba_internals import config

_FLOATS, _INT64 = (np.dtype(np.float32), np.dtype(np.float64)), np.dtype(np.int64)


def refuse_others(kernel, dimensions, refusal):
    """The kernel, which gives `refusal` unless its first arguments are plain arrays of so many dimensions.

    Matrices have the dtype of the first one, float32 or float64; what has one dimension is int64.
    """
    if config.DISABLE_JIT:

        @wraps(kernel)
        def checked(*arguments):
            return kernel(*arguments) if _are_plain(arguments, dimensions) else refusal

        return checked

    compile_for = kernel._compile_for_args

    def compile_or_refuse(*arguments):
        if _are_plain(arguments, dimensions):
            return compile_for(*arguments)
        kernel._types_active_call.clear()  # as when it has compiled
        return lambda *_: refusal

    kernel._compile_for_args = compile_or_refuse
    return kernel


def _are_plain(arguments, dimensions):
    dtype = arguments[0].dtype
    return dtype in _FLOATS and all(
        type(array) is np.ndarray
        and array.ndim == ndim
        and array.dtype == (dtype if ndim == 2 else _INT64)
        and array.flags.carray  # aligned, C-contiguous and writable
        for array, ndim in zip(arguments, dimensions, strict=False)
    )
