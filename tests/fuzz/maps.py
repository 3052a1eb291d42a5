"""softmax, log_softmax, logsumexp along any axes, and their products."""

import math
from typing import Any

import numpy as np

import fastsoftmax as fs

from .arrays import Draw, float_dtype, values_of
from .cases import Case
from .oracles import Exact, dtypes_of, log_softmax_product, long, mismatch, soft, softmax_product


def axes_of(axis: Any, ndim: int) -> tuple[int, ...] | None:
    """The axes as non-negative integers; None for what is not allowed."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    if not all(isinstance(a, int | np.integer) for a in given):
        return None
    if ndim == 0:
        return () if list(given) in ([], [0], [-1]) else None
    if any(not -ndim <= a < ndim for a in given):
        return None
    axes = tuple(a % ndim for a in given)
    return axes if len(set(axes)) == len(axes) else None


def add_axis(case: Case, ndim: int) -> tuple[int, ...]:
    """An axis of any kind."""
    draw = case.draw
    if draw.chance(0.5):
        return axes_of(-1, ndim) or ()
    some = range(-ndim, ndim)
    axis: Any = draw.choice((-1, draw.choice(some or [0]), draw.choice(some or [0]), None, "several", "odd"))
    if axis == "several":
        axis = tuple(draw.choice(some or [0]) for _ in range(draw.randint(0, 3)))
    elif axis == "odd":
        axis = draw.choice((ndim, -ndim - 1, 1.0, "last", [0], np.int64(-1), 2**70, (0, 2**70)))
    axes = axes_of(axis, ndim)
    case.option("axis", axis, bad=axes is None)
    return axes or ()


def add_where(case: Case, shape: tuple[int, ...]) -> Any:
    """A mask that is broadcast to the shape; rarely one that does not fit."""
    draw = case.draw
    if draw.chance(0.6):
        return True
    if draw.chance(0.04):
        case.add("where", draw.numbers.integers(0, 2, shape))
        case.faults.add("where")
        return True
    if draw.chance(0.03):
        case.add("where", np.ones((*shape, 2), bool))
        if np.ones((*shape, 2), bool).ndim > 0:
            case.faults.add("where")
        return True
    part = tuple(1 if draw.chance(0.2) else n for n in shape)[draw.choice((0, 0, 0, min(1, len(shape)))) :]
    return case.add("where", draw.numbers.random(part) < draw.choice((0.0, 0.3, 0.7, 1.0)))


def add_temperature(case: Case, compute: np.dtype) -> Any:
    """A temperature of any size; rarely one that is none."""
    draw = case.draw
    if draw.chance(0.6):
        return 1.0
    value = draw.choice((1, 0.5, 2.0, 0.1, 3.7, 100.0, 1e-3, 1e30, 1e-30, np.float32(0.7), np.float64(1.5), True))
    if draw.chance(0.1):
        value = draw.choice((0, -1.0, math.nan, math.inf, "hot", None, 1e-320, 1e300, np.ones(2), 1j, 10**400))
    try:
        with np.errstate(all="ignore"):
            scalar = compute.type(float(value)) if not isinstance(value, str) else compute.type(0)
    except (TypeError, ValueError, OverflowError):
        scalar = compute.type(0)
    good = bool(0 < scalar < np.inf)
    case.option("temperature", value, bad=not good)
    return scalar if good else 1.0


def add_any_out(case: Case, shape: tuple[int, ...], dtype: np.dtype, *sources: str) -> None:
    """Sometimes an out=: an array of its own, an input itself, or a view of an input's memory."""
    draw = case.draw
    if draw.chance(0.55):
        return
    if draw.chance(0.35) and case.alias_out("out", draw.choice(sources), shape, dtype):
        return
    case.option("out", case.add_out("out", shape, dtype))


def map_case(draw: Draw, name: str) -> Case:
    """softmax, log_softmax or logsumexp."""
    case = Case(draw, name)
    logits = case.add("logits", values_of(draw, draw.shape(), float_dtype(draw)))
    axes = add_axis(case, logits.ndim)
    mask = add_where(case, logits.shape)
    if case.faults & {"logits"}:
        return case
    dtype, compute = dtypes_of(logits)
    limits = np.finfo(compute)
    if name == "logsumexp":
        keepdims = case.option("keepdims", True) if draw.chance(0.3) else False
        exact = (
            soft(long(logits, compute), axes, limits.eps, limits.tiny, mask=mask).logsumexp if not case.faults else None
        )
        if exact and not keepdims:
            exact = Exact(exact.values.squeeze(axes), exact.bound.squeeze(axes))
        case.check = lambda result: mismatch("result", result, exact, dtype)
        return case
    temperature = add_temperature(case, compute)
    add_any_out(case, logits.shape, dtype, "logits")
    if not case.faults:
        parts = soft(long(logits, compute), axes, limits.eps, limits.tiny, temperature, mask)
        exact = parts.probs if name == "softmax" else parts.log_probs
        case.check = lambda result: mismatch("result", result, exact, dtype)
    return case


def product_case(draw: Draw, name: str) -> Case:
    """One of the four products."""
    case, shape, kind = Case(draw, name), draw.shape(), float_dtype(draw)
    first, second = "probs" if name.startswith("softmax") else "log_probs", "tangent"
    second = "cotangent" if name.endswith("vjp") else second
    values = values_of(draw, shape, kind)
    if draw.chance(0.8) and values.dtype.kind == "f" and shape and values.dtype.itemsize <= 8:
        values = getattr(fs, first.removesuffix("probs") + "softmax")(values, draw.choice((-1, 0, None)))
        values = np.asarray(values)
    at = case.add(first, values)
    other = at.shape if draw.chance(0.96) else draw.choice((at.shape[1:], (*at.shape, 1), (3,)))
    vector = case.add(second, values_of(draw, other, kind if draw.chance(0.8) else float_dtype(draw)))
    if vector.shape != at.shape:
        case.faults.add(second)
    axes = add_axis(case, at.ndim)
    if case.faults & {first, second}:
        return case
    dtype, compute = dtypes_of(at, vector)
    add_any_out(case, at.shape, dtype, first, second)
    if not case.faults:
        limits = np.finfo(compute)
        arguments = (long(at, compute), long(vector, compute), axes, limits.eps, limits.tiny, limits.max)
        if first == "probs":
            exact = softmax_product(*arguments)
        else:
            exact = log_softmax_product(*arguments, transposed=name.endswith("vjp"))
        case.check = lambda result: mismatch("result", result, exact, dtype)
    return case
