"""The results in np.longdouble, in plain NumPy, each with the largest error that is documented for it.

eps is that of the dtype that is computed in. A bound of infinity stands for "not judged": where intermediate numbers
leave the range of the dtype.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Axes = tuple[int, ...]
LONG = np.longdouble


@dataclass(frozen=True)
class Exact:
    """Values, and by how much a result may differ from them."""

    values: np.ndarray
    bound: np.ndarray


def dtypes_of(*arrays: np.ndarray) -> tuple[np.dtype, np.dtype]:
    """The dtype of a result: the widest float, integers as float64; and that which it is computed in."""
    answer = np.dtype(np.result_type(*[a.dtype if a.dtype.kind == "f" else np.float64 for a in arrays]).type)
    return answer, np.dtype(np.float32) if answer == np.float16 else answer


def long(array: np.ndarray, compute: np.dtype) -> np.ndarray:
    """The values that are computed with, as long doubles."""
    with np.errstate(all="ignore"):
        return np.asarray(array).astype(compute).astype(LONG)


def mismatch(what: str, result: Any, exact: Exact, dtype: np.dtype) -> str | None:
    """What is wrong with a result, or None. float16 is rounded once, at the end."""
    got = np.asarray(result)
    if got.shape != exact.values.shape or got.dtype != dtype:
        return f"{what}: shape {got.shape} and {got.dtype}, not {exact.values.shape} and {dtype}"
    limits, want = np.finfo(dtype), np.asarray(exact.values)
    with np.errstate(all="ignore"):
        bound = exact.bound + limits.eps * np.abs(want) / 2 + limits.smallest_subnormal
        close = np.abs(got.astype(LONG) - want) <= bound
        overflow = np.isinf(got) & (np.sign(got) * want + bound >= limits.max)
    good = close | (got == want) | (np.isnan(got) & np.isnan(want)) | overflow | ~(exact.bound < np.inf)
    if good.all():
        return None
    at = np.unravel_index(int(np.argmin(good)), good.shape)
    return f"{what}[{', '.join(map(str, at))}] is {got[at]!r}, not {want[at]!r} within {bound[at]:.3g}"


@dataclass(frozen=True)
class Soft:
    """Softmax along axes: probabilities and their logarithms, distances to the maximum over T, and logsumexp."""

    probs: Exact
    log_probs: Exact
    logsumexp: Exact
    distance: np.ndarray


def soft(
    z: np.ndarray, axes: Axes, eps: float, tiny: float, temperature: Any = 1.0, mask: Any = True, error: Any = 0.0
) -> Soft:
    """Softmax and its kin of z (long doubles); `error` is by how much z itself may be off.

    A probability may be off by (|z - max z| + 8) eps, or twice that with a temperature.
    """
    twice = 1 if temperature == 1 else 2
    with np.errstate(all="ignore"):
        visible = np.where(mask, z, -np.inf)
        top = visible.max(axis=axes, keepdims=True, initial=-np.inf)
        bad = ~np.isfinite(top)
        distance = np.where(visible == -np.inf, -np.inf, (visible - top) / LONG(temperature))
        e, at_top = np.exp(distance), visible == top
        rest, count = np.where(at_top, 0, e).sum(axis=axes, keepdims=True), at_top.sum(axis=axes, keepdims=True)
        log_total = np.log(count) + np.log1p(rest / count)
        far = np.where(e > 0, -distance, 0)
        relative = (twice * far + 8 * twice) * eps + np.expm1(np.minimum(2 * error / LONG(temperature), 100))
        slack = np.where(at_top, 0, e * relative).sum(axis=axes, keepdims=True) / count
        probs = np.where(bad, np.nan, e / (count + rest))
        log_probs = np.where(bad, np.nan, distance - log_total)
        off = twice * np.where(distance > -np.inf, -distance, 0) + 2 * log_total + 2 * np.abs(log_probs)
        off = eps * off + slack + 2 * error / LONG(temperature) + tiny
        sums = np.where(np.isnan(top) | np.isinf(top), top, top + log_total)
        sums_off = eps * (2 * np.abs(top) + 2 * log_total) + slack + error + tiny
    hidden = ~np.broadcast_to(mask, z.shape)
    probs, log_probs = np.where(hidden, 0, probs), np.where(hidden, -np.inf, log_probs)
    bound = probs * relative + tiny
    return Soft(Exact(probs, bound), Exact(log_probs, off), Exact(sums, np.nan_to_num(sums_off, nan=0.0)), distance)


def softmax_product(p: np.ndarray, v: np.ndarray, axes: Axes, eps: float, tiny: float, most: float) -> Exact:
    """J v = p (v - sum p v)."""
    length = np.prod([p.shape[a] for a in axes])
    with np.errstate(all="ignore"):
        terms = p * v
        total, size = (f(terms).sum(axis=axes, keepdims=True) for f in (np.asarray, np.abs))
        values = p * (v - total)
        bound = np.abs(p) * (4 * np.abs(v) + (8 + length) * size) * eps + tiny * (length + 2) * (1 + np.abs(p))
        return Exact(values, judged(bound, axes, most, p, v, np.abs(p) * size, size))


def log_softmax_product(
    lp: np.ndarray, v: np.ndarray, axes: Axes, eps: float, tiny: float, most: float, transposed: bool
) -> Exact:
    """J v = v - sum p v, or its transpose, J^T u = u - p sum u."""
    length = np.prod([lp.shape[a] for a in axes])
    with np.errstate(all="ignore"):
        p = np.exp(lp)
        off = np.where(lp == -np.inf, 0, np.abs(lp)) + 8 + length
        if transposed:
            total, size = (f(v).sum(axis=axes, keepdims=True) for f in (np.asarray, np.abs))
            values, bound = v - p * total, 2 * np.abs(v) + off * p * size
            bound = eps * bound + tiny * (1 + size)
        else:
            values = v - (p * v).sum(axis=axes, keepdims=True)
            size = np.abs(p * v).sum(axis=axes, keepdims=True)
            bound = 2 * np.abs(v) + (off * np.abs(p * v)).sum(axis=axes, keepdims=True)
            bound = eps * bound + tiny * (length + 1) * (1 + np.abs(v).sum(axis=axes, keepdims=True))
        bound = np.where((lp > 40).any(axis=axes, keepdims=True), np.inf, bound)  # no log-probabilities
        return Exact(values, judged(bound, axes, most, np.where(np.isnan(lp), np.nan, p), v, size, p * size))


def judged(bound: np.ndarray, axes: Axes, most: float, *parts: np.ndarray) -> np.ndarray:
    """The bound, but infinite for rows with infinite parts or such that are near the largest number.

    A row with NaN is judged: all of it must be NaN.
    """
    bound = np.where(np.isnan(bound), 0, bound)
    for part in parts:
        nan = np.isnan(part).any(axis=axes, keepdims=True)
        bound = np.where((np.abs(part) > most / 64).any(axis=axes, keepdims=True) & ~nan, np.inf, bound)
        bound = np.where(nan & np.isinf(part).any(axis=axes, keepdims=True), np.inf, bound)
    return bound
