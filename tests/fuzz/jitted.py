"""The public functions inside @njit code: the bits and the errors of the same call from Python.

Each function is compiled for two kinds of arrays only, because that takes seconds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

import fastsoftmax as fs

from .arrays import Draw, float_values, place
from .cases import Case


@numba.njit
def softmax(logits, temperature, where):
    return fs.softmax(logits, -1, temperature, where)


@numba.njit
def log_softmax(logits, temperature):
    return fs.log_softmax(logits, temperature=temperature)


@numba.njit(parallel=True)
def logsumexp(logits):
    values = np.empty(logits.shape[0], logits.dtype)
    for n in numba.prange(logits.shape[0]):
        values[n] = fs.logsumexp(logits[n])
    return values


@numba.njit
def softmax_vjp(probs, cotangent):
    return fs.softmax_vjp(probs, cotangent)


@numba.njit
def cross_entropy(logits, targets, sample_weight, class_weight, label_smoothing, ignore_index):
    return fs.cross_entropy(logits, targets, sample_weight, class_weight, label_smoothing, ignore_index)


@numba.njit
def soft_cross_entropy(logits, targets):
    return fs.cross_entropy(logits, targets, reduction="none")


JITTED: dict[str, Callable[..., Any]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "softmax_vjp": softmax_vjp,
    "cross_entropy": cross_entropy,
    "soft cross_entropy": soft_cross_entropy,
}


def jitted_case(draw: Draw, name: str) -> Case:
    """One of them; what Python makes of the arguments decides."""
    which = draw.choice(sorted(JITTED))
    case = Case(draw, which.split()[-1])
    python, case.name, case.call = case.call, f"njit {which}", JITTED[which]
    plain = draw.chance(0.5)
    dtype, shape = ("f8" if plain else "f4"), draw.shape(2, 2)
    add(case, "logits" if "vjp" not in which else "probs", float_values(draw, shape, dtype), plain)
    options: dict[str, Any] = {}
    if which in ("softmax", "log_softmax"):
        options["temperature"] = draw.choice((1.0, 0.5, 3.0, 1e-3, 0.0, -1.0, np.nan, 1e300))
    if which == "softmax":
        options["where"] = add(case, "where", draw.numbers.random(shape) < draw.choice((0.1, 0.9)), True)
    if which == "softmax_vjp":
        add(case, "cotangent", float_values(draw, shape, dtype), plain)
    if which == "soft cross_entropy":
        add(case, "targets", float_values(draw, shape, dtype, wild=0.02), plain)
        python = partial(python, reduction="none")
    if which == "cross_entropy":
        low, high = (0, shape[1]) if draw.chance(0.9) else (-1, shape[1] + 1)
        add(case, "targets", draw.numbers.integers(low, max(high, low + 1), shape[0]), True)
        for weight, length in (("sample_weight", shape[0]), ("class_weight", shape[1])):
            values = draw.numbers.choice([0.0, 0.5, 1.0, 2.0] if draw.chance(0.9) else [0.0, -1.0, np.nan], length)
            add(case, weight, values, True)
        options["label_smoothing"] = draw.choice((0.0, 0.1, 1.0, -0.1, 1.5))
        options["ignore_index"] = draw.choice((-1, 0, -100))
    for option, value in options.items():
        case.arguments[option] = value
    case.clean = case.arguments  # the same kinds of arrays, for which it is compiled
    try:
        expected = python(**case.arguments)
    except (TypeError, ValueError):
        case.faults = {"temperature", "targets", "sample_weight", "class_weight", "weights", "label_smoothing"}
        return case
    case.check = lambda result: same(result, expected)
    return case


def add(case: Case, name: str, values: np.ndarray, plain: bool) -> np.ndarray:
    """An array that Numba calls C-contiguous, or one of any strides ("A")."""
    if plain:
        array = np.ascontiguousarray(values)
    else:
        placed = place(case.draw, values, plain=1.0, read_only=False)
        case.inputs.append((name, placed))
        array = np.lib.stride_tricks.as_strided(placed.array, values.shape, placed.array.strides)
        array = np.repeat(values, 2, axis=1)[:, ::2] if array.flags.c_contiguous else array
    case.arguments[name] = array
    return array


def same(result: Any, expected: Any) -> str | None:
    """What differs from the result of the same call from Python; Numba makes a Python float of a float32."""
    got, want = np.asarray(result), np.asarray(expected)
    got = got.astype(want.dtype) if isinstance(result, float) else got
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype} {got.shape}, not {want.dtype} {want.shape}"
    return None if np.array_equal(got, want, equal_nan=True) else f"{got}, not {want}"
