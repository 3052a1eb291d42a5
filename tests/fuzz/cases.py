"""One call: its arguments, the memory they lie in, and what is wrong with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

import fastsoftmax as fs

from .arrays import GUARD, Draw, Placed, place, spread

Check = Callable[[Any], str | None]


class Case:
    """A call of a public function.

    Attributes
    ----------
    arguments : by name, as they are handed in
    clean : the same values in C-contiguous arrays of native byte order
    faults : what a TypeError or ValueError must name one of; empty if the call must succeed
    check : says what is wrong with a result, or None
    """

    def __init__(self, draw: Draw, name: str) -> None:
        self.draw, self.name = draw, name
        self.arguments: dict[str, Any] = {}
        self.clean: dict[str, Any] = {}
        self.faults: set[str] = set()
        self.inputs: list[tuple[str, Placed]] = []
        self.outs: list[tuple[str, Placed]] = []
        self.call: Callable[..., Any] = getattr(fs, name)
        self.check: Check = lambda result: None
        self.warns = False  # whether a warning is allowed
        self.either = False  # whether an error and any result are allowed

    def add(self, name: str, values: np.ndarray) -> np.ndarray:
        """Hand the values in as an argument, in any layout; they are returned as a clean array."""
        values = np.ascontiguousarray(values).reshape(values.shape)
        if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
            self.faults.add(name)
        if self.draw.chance(0.004):
            self.option(name, odd_argument(self.draw, name, values), bad=True)
        elif values.dtype.kind in "fi" and values.dtype.itemsize == 8 and self.draw.chance(0.03):
            self.arguments[name] = values.tolist()
            values = np.asarray(self.arguments[name])  # an empty list is one of floats, and has lost its other axes
        elif (stretched := spread(self.draw, values)) is not values:
            self.arguments[name], values = stretched, stretched.copy()
        else:
            placed = place(self.draw, values)
            self.inputs.append((name, placed))
            self.arguments[name] = placed.array
        self.clean[name] = values
        return values

    def option(self, name: str, value: Any, bad: bool = False) -> Any:
        """Hand in something that is no array."""
        self.arguments[name] = self.clean[name] = value
        if bad:
            self.faults.add(name)
        return value

    def placed(self, name: str) -> Placed | None:
        """The memory of an argument."""
        return next((placed for other, placed in self.inputs if other == name), None)

    def add_out(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array for a result: one that fits, in any layout, or (rarely) one that does not."""
        draw, kind = self.draw, self.draw.random()
        if kind < 0.9:
            placed = place(draw, np.zeros(shape, dtype), read_only=False)
            if not placed.array.dtype.isnative and np.dtype(dtype).itemsize > 1:
                self.faults.add(name)
            self.outs.append((name, placed))
            return placed.array
        self.faults.add(name)
        if kind < 0.92:
            return np.zeros((*shape, 1), dtype)
        if kind < 0.93 and max(shape, default=0) > 1 and 0 not in shape:
            whole = np.zeros(shape, dtype)
            strides = [0 if n == max(shape) else step for n, step in zip(shape, whole.strides, strict=True)]
            return np.lib.stride_tricks.as_strided(whole, shape, strides)  # overlaps itself
        if kind < 0.94:
            return np.zeros(shape, "f8" if dtype != np.float64 else "f4")
        if kind < 0.96:
            return np.zeros(shape, dtype).tolist()
        placed = place(draw, np.zeros(shape, dtype), read_only=False)
        placed.array.flags.writeable = False
        self.outs.append((name, placed))
        return placed.array

    def alias_out(self, name: str, source: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Make out an input itself, or another view of its memory; False where that cannot be."""
        placed = self.placed(source)
        if placed is None or placed.array.dtype != dtype or placed.array.shape != shape or not shape:
            return False
        array, draw = placed.array, self.draw
        if not array.flags.writeable or type(array) is not np.ndarray:
            return False
        out, kind = array, draw.randrange(4)
        if kind == 0:
            out = array[tuple(slice(None, None, -1) if draw.chance(0.5) else slice(None) for _ in shape)]
        elif kind == 1 and placed.layout == "C":  # shifted by a few elements, into the guard bytes
            step = draw.choice((-1, 1)) * draw.randint(1, GUARD // dtype.itemsize)
            out = np.ndarray(shape, dtype, placed.buffer, GUARD + step * dtype.itemsize)
        if np.shares_memory(out, array) and not np.array_equal(addresses(out), addresses(array)):
            self.faults.add(name)
        self.inputs.remove((source, placed))
        self.outs.append((name, Placed(out, placed.buffer, f"{placed.layout}, shared with {source}")))
        self.option(name, out)
        return True

    def describe(self) -> str:
        """The arguments, so that the call can be made again by hand."""
        lines = [f"fs.{self.name}"]
        layouts = {name: placed.layout for name, placed in self.inputs + self.outs}
        for name, value in self.arguments.items():
            if isinstance(value, np.ndarray):
                text = np.array2string(np.asarray(value), threshold=24, max_line_width=110).replace("\n", " ")
                kind = f"{value.dtype.str} {value.shape} strides {value.strides} {layouts.get(name, '')}"
                lines.append(f"  {name} = {kind}: {text[:600]}")
            elif issparse(value) and value.format == "csr":
                parts = [f"{part}: {getattr(value, part)!s:.200}" for part in ("data", "indices", "indptr")]
                lines.append(f"  {name} = {type(value).__name__} {value.shape} of {value.dtype}, {', '.join(parts)}")
            else:
                lines.append(f"  {name} = {str(value)[:300]!s}")
        if self.faults:
            lines.append(f"  an error must name one of {sorted(self.faults)}")
        return "\n".join(lines)


def odd_argument(draw: Draw, name: str, values: np.ndarray) -> Any:
    """What is no array of numbers, though it looks like one."""
    odd = [np.ma.masked_array(values), [[1.0], [1.0, 2.0]], "text", {}, values.astype(object)]
    return draw.choice(odd if name == "X" else [*odd, csr_array((2, 2))])


def addresses(array: np.ndarray) -> np.ndarray:
    """Where each element lies."""
    start = array.__array_interface__["data"][0]
    grid = np.indices(array.shape, sparse=True)
    offsets = sum(
        (index * stride for index, stride in zip(grid, array.strides, strict=True)), np.zeros(array.shape, int)
    )
    return np.asarray(offsets + start)
