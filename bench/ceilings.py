"""What the machine allows: loops that only copy, exp, max or scale, over arrays of a case's size."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

from fastsoftmax._threads import run
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.vecmath import AHEAD, STREAM_BYTES
from fastsoftmax.kernels.simd import (
    lanes,
    larger,
    load,
    max_of,
    pointer,
    prefetch,
    splat,
    store,
    store_fence,
    store_nontemporal,
)
from fastsoftmax.kernels.threads import share

jit = numba.njit(error_model="numpy", nogil=True)
LINE = 1024  # elements that are dealt out together; sizes are rounded down to them


@jit
def _spans(x, out, what, team):
    share(team, x.size // LINE, LINE, what, (x, out))


@jit
def _copy(first, last, x, out):
    a, b = pointer(x), pointer(out)
    streaming = out.nbytes >= STREAM_BYTES
    for j in range(first * LINE, last * LINE, lanes(x)):
        if streaming:
            prefetch(a, j + AHEAD * lanes(x))
            store_nontemporal(load(a, j), b, j)
        else:
            store(load(a, j), b, j)
    store_fence()


@jit
def _exp(first, last, x, out):
    a, b = pointer(x), pointer(out)
    for j in range(first * LINE, last * LINE, lanes(x)):
        store(exp(load(a, j)), b, j)


@jit
def _scale(first, last, x, out):
    a, b = pointer(x), pointer(out)
    factor = splat(x, 0.5)
    for j in range(first * LINE, last * LINE, lanes(x)):
        store(load(a, j) * factor, b, j)


@jit
def _max(first, last, x, out):
    a = pointer(x)
    top = splat(x, -np.inf)
    for j in range(first * LINE, last * LINE, lanes(x)):
        top = larger(load(a, j), top)
    out[first] = max_of(top)


@jit
def copy_loop(x, out, team):
    _spans(x, out, _copy, team)


@jit
def exp_loop(x, out, team):
    _spans(x, out, _exp, team)


@jit
def scale_loop(x, out, team):
    _spans(x, out, _scale, team)


@jit
def max_loop(x, out, team):
    _spans(x, out, _max, team)


def ceilings(size: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """The loops, as calls on arrays of about `size` elements, aligned to 64 bytes."""
    size = max(LINE, size // LINE * LINE)
    pad = 64 // np.dtype(dtype).itemsize

    def aligned() -> np.ndarray:
        array = np.full(size + pad, -1.0, dtype)
        return array[-(array.ctypes.data // array.itemsize) % pad :][:size]

    x, out = aligned(), aligned()
    loops = {"copy": copy_loop, "exp": exp_loop, "max": max_loop, "scale": scale_loop}
    return {name: partial(run, loop, size, x, out) for name, loop in loops.items()}
