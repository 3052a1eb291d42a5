"""Where an array's header has what entries read (entries.py), and which functions of NumPy they call.

It is what extension modules are built upon: CPython of 64 bits, with its global lock or without, its debug builds, and
NumPy's API 2 (PyArrayObject_fields, and the numbers of functions). `is_known` looks whether it is so in this process:
elsewhere there are no entries, and Numba's way in is taken.
"""

import ctypes
import sys

import numpy as np

HEADER = object.__basicsize__  # of an object: its type comes last; other builds of Python have more before that
TYPE, DATA, NDIM, SHAPE, DTYPE, FLAGS = (HEADER + at for at in (-8, 0, 8, 16, 40, 48))
READABLE = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
WRITABLE = READABLE | 0x0400
NEW_LIKE, SCALAR = "PyArray_NewLikeArray", "PyArray_Scalar"
_NUMBERS = {NEW_LIKE: 277, SCALAR: 60}
_API = 0x02000000  # what PyArray_GetNDArrayCVersion, the first function, says


def is_known():
    """Whether an array is as it is said here, and NumPy's functions are, too."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    return np.ndarray.__basicsize__ >= FLAGS + 4 and _is_of(np.zeros((2, 3), np.float32)) and _api() == _API


def _is_of(array):
    def at(place, kind=ctypes.c_int64):
        return kind.from_address(id(array) + place).value

    expected = (DATA, array.ctypes.data), (TYPE, id(np.ndarray)), (DTYPE, id(array.dtype))
    if any(at(place) != value for place, value in expected) or at(NDIM, ctypes.c_int) != array.ndim:
        return False
    if at(FLAGS, ctypes.c_int) & WRITABLE != WRITABLE:
        return False
    return tuple((ctypes.c_int64 * array.ndim).from_address(at(SHAPE))) == array.shape


def _api():
    table = _functions()
    return None if table is None else ctypes.CFUNCTYPE(ctypes.c_uint)(table[0])()


def addresses_in_numpy():
    """Those of NumPy's functions, by name."""
    table = _functions()
    return {name: table[number] for name, number in _NUMBERS.items()}


def _functions():
    try:
        capsule = np._core._multiarray_umath._ARRAY_API
    except AttributeError:
        return None
    pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return ctypes.cast(pointer_in(capsule, None), ctypes.POINTER(ctypes.c_void_p))


LAYOUT_IS_KNOWN = is_known()
