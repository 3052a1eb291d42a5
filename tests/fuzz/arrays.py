"""Hostile arrays: values, dtypes, and layouts in memory between guard bytes."""

import math
import random
from typing import Any

import numpy as np

GUARD = 64  # bytes before and behind each array
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
REFUSED = ("longdouble", "complex64", "complex128", "object", "U3", "m8[s]")
SIZES = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40, 65)


class Draw(random.Random):
    """Random choices, all of which follow from one seed."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.numbers = np.random.Generator(np.random.SFC64(self.getrandbits(64)))

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.random() < probability

    def shape(self, least: int = 0, most: int = 4, elements: int = 3000) -> tuple[int, ...]:
        """A shape with zeros and ones; now and then a length at a border of the kernels, or enough for two threads."""
        if least <= 2 <= most and elements >= 3000 and self.chance(0.004):
            n_columns = self.choice((1, 3, 10, 37, 600))
            return 30_000 // n_columns, n_columns
        shape = [
            self.choice(SIZES) for _ in range(self.choice([d for d in (0, 1, 2, 2, 2, 3, 4) if least <= d <= most]))
        ]
        if shape and self.chance(0.04):
            shape[self.randrange(len(shape))] = self.choice((127, 128, 129, 255, 257, 511, 512, 513, 1025))
        while math.prod(shape) > elements:
            shape[int(np.argmax(shape))] //= 2
        return tuple(shape)


def float_values(draw: Draw, shape: tuple[int, ...], dtype: Any, wild: float = 0.25) -> np.ndarray:
    """Floats of one of several kinds; `wild` is the probability that NaN, infinity and extremes are among them."""
    numbers, limits = draw.numbers, np.finfo(dtype)
    kind = draw.randrange(6)
    if kind == 0:
        values = numbers.integers(-2, 3, shape).astype(np.float64)  # ties
    elif kind == 1:
        values = numbers.standard_normal(shape) * 10 ** numbers.uniform(-3, 2)
    else:
        values = numbers.standard_normal(shape) * draw.choice((0.1, 1.0, 4.0)) + draw.choice((0.0, 0.0, -3.0, 100.0))
    with np.errstate(all="ignore"):
        array = np.asarray(values).astype(dtype).reshape(shape)
    array = np.asarray(array)
    if array.size and draw.chance(wild):
        tiny, huge = limits.smallest_subnormal, limits.max
        special = [
            np.nan,
            np.inf,
            -np.inf,
            -np.inf,
            0.0,
            -0.0,
            tiny,
            -tiny,
            limits.tiny,
            huge,
            -huge,
            huge / 4,
            1e4,
            -1e4,
        ]
        some = draw.sample(special, draw.randint(1, 3))
        hit = numbers.random(shape) < draw.choice((0.02, 0.2, 1.0))
        array[hit] = numbers.choice(np.array(some, dtype), int(hit.sum()))
    return array


def values_of(draw: Draw, shape: tuple[int, ...], dtype: Any, wild: float = 0.25) -> np.ndarray:
    """Values of any of the dtypes, the refused ones, too."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return float_values(draw, shape, dtype, wild)
    if dtype.kind == "b":
        return np.asarray(draw.numbers.random(shape) < 0.5)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max) if draw.chance(0.2) else (max(limits.min, -9), 9)
        return np.asarray(draw.numbers.integers(low, high, shape, dtype, endpoint=True))
    return np.asarray(draw.numbers.integers(0, 5, shape)).astype(dtype)


def float_dtype(draw: Draw) -> str:
    """Mostly one that is computed in; else float16, an integer, a bool, or (rarely) one that is refused."""
    chosen = draw.random()
    if chosen < 0.86:
        return draw.choice(("f4", "f8"))
    if chosen < 0.98:
        return draw.choice(("f2", "f2", *INTEGERS))
    return draw.choice(REFUSED)


class Placed:
    """An array in memory of its own, between guard bytes."""

    def __init__(self, array: np.ndarray, buffer: np.ndarray, layout: str) -> None:
        self.array, self.buffer, self.layout = array, buffer, layout
        self.before = buffer.tobytes()

    def untouched(self) -> bool:
        """Whether each byte, of guards and gaps, too, is what it was."""
        return self.buffer.tobytes() == self.before

    def only_elements_touched(self) -> bool:
        """Whether each byte that is not of an element of the array is what it was; call it last."""
        kept = np.frombuffer(self.before, np.uint8)
        now, self.buffer[...] = self.buffer.copy(), kept
        saved = self.array.copy()
        self.buffer[...] = now
        self.array[...] = saved
        return self.untouched()


def place(draw: Draw, values: np.ndarray, plain: float = 0.5, read_only: bool = True) -> Placed:
    """The values in a random layout: order of axes, steps, gaps, misalignment, byte order, read-only, a subclass."""
    ndim, itemsize = values.ndim, values.dtype.itemsize
    order, steps, shift, dtype = list(range(ndim)), [1] * ndim, 0, values.dtype
    odd = not draw.chance(plain) and dtype.kind != "O"
    if odd:
        if draw.chance(0.5):
            draw.shuffle(order)
        steps = [draw.choice((1, 1, 1, 2, 3, -1, -2)) for _ in steps]
        shift = draw.randrange(itemsize) if draw.chance(0.3) else 0
        dtype = dtype.newbyteorder() if draw.chance(0.2) else dtype
    padded = [values.shape[a] * abs(steps[a]) for a in order]
    nbytes = math.prod(padded) * itemsize
    buffer = draw.numbers.integers(0, 256, nbytes + 2 * GUARD + shift, np.uint8)
    if dtype.kind == "O":
        return Placed(values, buffer, "object")
    inner = buffer[GUARD + shift : GUARD + shift + nbytes].view(dtype).reshape(padded)
    array = inner[(*(slice(None, None, steps[a]) for a in order), ...)].transpose(np.argsort(order))
    array[...] = values
    layout = f"order {order} steps {steps} shift {shift}" if odd else "C"
    if read_only and draw.chance(0.15):
        array.flags.writeable = False
        layout += " read-only"
    if odd and read_only and draw.chance(0.1):
        array, layout = array.view(np.memmap), layout + " memmap"
    return Placed(array, buffer, layout)


def spread(draw: Draw, values: np.ndarray) -> np.ndarray:
    """The values, or an array of zero strides along one axis."""
    if values.ndim and values.size and draw.chance(0.05):
        axis = draw.randrange(values.ndim)
        return np.broadcast_to(values.take([0], axis), values.shape)
    return values
