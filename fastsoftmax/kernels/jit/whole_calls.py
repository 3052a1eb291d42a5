"""Kernels that Python calls as it calls a built-in function: their machine code reads the headers of NumPy's arrays.

Numba's way in finds the code for the types of the arguments, makes an array of its own of each, and lets other threads
of Python run: 0.3 us for two arrays, where softmax of ten numbers takes 0.01. A `WholeCall` has, in the machine code of
each of its kernels, an entry of the kind that Python calls METH_FASTCALL,

    PyObject *entry(PyObject *self, PyObject *const *arguments, Py_ssize_t n)

which looks at the arguments, calls the kernel, and gives what the public function returns (entries.py). Whatever is not
as it should be is refused: the caller has another way, which finds words for what is wrong. Without the JIT, and where
arrays are not laid out as entries read them (layout.py), the same is done in Python.
"""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding
from numba import types

from fastsoftmax.kernels.jit.entries import ENTRIES, FLOATS, INT64, LARGE, entry_cell, entry_name
from fastsoftmax.kernels.jit.layout import LAYOUT_IS_KNOWN
from fastsoftmax.kernels.jit.numba_internals import config, from_dtype, global_compiler_lock


class WholeCall:
    """A kernel(*arrays, team) as a function of arrays of one float dtype and of labels, of any number of dimensions.

    Attributes
    ----------
    call : callable(*arrays[, axis][, team])
        Gives the last array, filled, or a new one like the first if that is None; of a kernel that returns a loss,
        (loss, array). One number for each row is only filled where there is an array for it. None if the arguments are
        not for it, and nothing was written. LARGE, and nothing is done yet, if there is so much to do that threads may
        pay, and no team was said (an address, or 0 for none; then other threads of Python may run).
    """

    __slots__ = ("_cells", "_form", "_kernel", "call")
    call: Callable[..., Any]

    def __init__(self, kernel, form):
        self._kernel, self._form = kernel, form
        if config.DISABLE_JIT or not LAYOUT_IS_KNOWN:
            self.call = self._call_in_python
            return
        self.call = self._compile_and_call
        self._cells = {dtype.name: ctypes.c_int64(0) for dtype in FLOATS}
        for name, cell in self._cells.items():
            binding.add_symbol(entry_cell(kernel.py_func, name), ctypes.addressof(cell))
        ENTRIES[kernel.py_func] = form

    @property
    def signatures(self):
        """What it is compiled for."""
        return getattr(self._kernel, "signatures", [])

    def _compile_and_call(self, *arguments):
        # the first call for a dtype
        if self._views(arguments) is None:
            return None
        dtype = arguments[0].dtype
        *ndims, ndim_of_target = self._form.dimensions
        kinds = [types.Array(from_dtype(dtype if n > 1 else INT64), n, "C") for n in ndims]
        kinds.append(types.Array(from_dtype(dtype), ndim_of_target, "C"))
        with global_compiler_lock:  # until LLVM has said where the entry is, too: nobody forks meanwhile
            self._kernel.compile((*kinds, types.intp))
            result = self._kernel.overloads[*kinds, types.intp]
            entry = result.library.get_pointer_to_function(entry_name(result.fndesc))
        self._cells[dtype.name].value = entry
        compiled = _built_in_function(self._kernel.__name__, entry, self._compile_and_call)
        if self.call == self._compile_and_call:
            self.call = compiled
        return compiled(*arguments)

    def _call_in_python(self, *arguments):
        views = self._views(arguments)
        if views is None:
            return None
        form = self._form
        team = arguments[form.n_arguments :]
        if not team and arguments[0].size >= form.small[arguments[0].dtype.name]:
            return LARGE
        arrays = list(arguments[: len(form.dimensions)])
        if arrays[-1] is None and form.makes:
            arrays[-1] = np.empty_like(arrays[0])
            views.append(arrays[-1].reshape(views[0].shape))
        elif arrays[-1] is None:
            views.append(np.empty(0, arrays[0].dtype))
        value = self._kernel(*views, *team or (0,))
        if value is False or value < 0:
            return None
        if value is True:
            return arrays[-1]
        return arrays[0].dtype.type(value), arrays[-1]

    def _views(self, arguments):
        """The arrays as the kernel takes them, without one that is to be made; None if they are not for it."""
        form, first = self._form, arguments[0]
        if type(first) is not np.ndarray or first.dtype not in FLOATS or not first.ndim:
            return None
        axis = arguments[len(form.dimensions)] if form.has_axis else -1
        if type(axis) is not int or not -first.ndim <= axis < first.ndim:
            return None
        axis %= first.ndim
        outer, n, inner = math.prod(first.shape[:axis]), first.shape[axis], math.prod(first.shape[axis + 1 :])
        views = []
        for k, (array, ndim) in enumerate(zip(arguments, form.dimensions, strict=False)):
            is_target = k == len(form.dimensions) - 1
            if is_target and array is None:
                break
            dtype = first.dtype if ndim > 1 or is_target else INT64
            shape = first.shape if ndim > 1 else first.shape[:-1]
            if not (type(array) is np.ndarray and array.dtype == dtype and array.shape == shape):
                return None
            if not (array.flags.c_contiguous and array.flags.aligned and (array.flags.writeable or not is_target)):
                return None
            views.append(array.reshape(((outer,), (outer, n), (outer, n, inner))[ndim - 1]))
        return views


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("ml_name", ctypes.c_char_p),
        ("ml_meth", ctypes.c_void_p),
        ("ml_flags", ctypes.c_int),
        ("ml_doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x0080
_new_built_in = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_MethodDef), ctypes.py_object, ctypes.py_object)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)
_kept = []  # Python borrows the definitions of its built-in functions


def _built_in_function(name, address, self):
    definition = _MethodDef(name.encode(), address, _METH_FASTCALL, None)
    _kept.append(definition)
    return _new_built_in(definition, self, None)
