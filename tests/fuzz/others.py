"""softmax_grad_hess, fit_temperature, and the number of threads."""

from typing import Any

import numpy as np

import fastsoftmax as fs

from .arrays import Draw, float_dtype, values_of
from .cases import Case
from .losses import row_losses, weighed
from .oracles import LONG, Exact, dtypes_of, long, mismatch, soft
from .targets import add_targets, add_weights, check_targets, prepared


def boosting_case(draw: Draw, name: str) -> Case:
    """softmax_grad_hess: w (M p - t), and 2 w M p (1 - p), at least 1e-6."""
    case = Case(draw, name)
    raw = case.add("raw", values_of(draw, draw.shape(2, 2), float_dtype(draw)))
    if raw.ndim != 2 or case.faults:
        case.faults.add("raw")
        case.add("targets", np.zeros(len(raw), int))
        return case
    dtype, compute = dtypes_of(raw)
    targets = add_targets(case, raw.shape, None)
    of_rows = add_weights(case, "sample_weight", raw.shape[:1], np.dtype(np.float64))
    check_targets(case, targets, raw.shape, None)
    if case.faults:
        return case
    given = prepared(case, targets, raw.shape, compute, False, (of_rows, None, 0.0, None, "sum"))
    limits, z = np.finfo(compute), long(raw, compute)
    grad = weighed(row_losses("cross_entropy", z, given, compute)[1], given, compute, scaled=False)
    p = soft(z, (1,), limits.eps, limits.tiny).probs
    mass, size = given.t.sum(axis=1, keepdims=True), np.abs(given.t).sum(axis=1, keepdims=True)
    bound = size * (4 * p.bound + (raw.shape[1] + 16) * limits.eps * p.values) + limits.tiny
    unjudged = np.isinf(given.t).any(axis=1, keepdims=True)
    hess = Exact(2 * mass * p.values * (1 - p.values), np.where(unjudged, np.inf, np.nan_to_num(bound, posinf=np.inf)))
    hess = weighed(hess, given, compute, scaled=False)
    least = LONG(compute.type(1e-6))
    hess = Exact(np.where(hess.values < least, least, hess.values), hess.bound + limits.eps * least)

    def check(result: Any) -> str | None:
        return mismatch("grad", result[0], grad, dtype) or mismatch("hess", result[1], hess, dtype)

    case.check = check
    return case


def temperature_case(draw: Draw, name: str) -> Case:
    """fit_temperature: the slope of the loss changes its sign at the result, if that is not at an end of the range."""
    case = Case(draw, name)
    logits = case.add("logits", values_of(draw, draw.shape(1, 2, 500), float_dtype(draw), wild=0.1))
    case.warns = True
    if logits.ndim != 2 or not logits.size or "logits" in case.faults:
        case.faults.add("logits")
        case.add("targets", np.zeros(logits.shape[:-1], int))
        return case
    targets = add_targets(case, logits.shape, None)
    of_rows = add_weights(case, "sample_weight", logits.shape[:1], np.dtype(np.float64))
    check_targets(case, targets, logits.shape, None)
    z = logits.astype(np.float64)
    if not np.isfinite(z - z.max(axis=1, keepdims=True)).all():
        case.faults.add("logits")
    if case.faults:
        return case
    given = prepared(case, targets, logits.shape, np.dtype(np.float64), False, (of_rows, None, 0.0, None, "mean"))
    if given is None or not (np.isfinite(given.t).all() and (given.t >= 0).all()):
        case.either = given is not None
        return case

    z, limits = z.astype(LONG), np.finfo(dtypes_of(logits)[1])
    top = z.max(axis=1, keepdims=True)

    def slope(temperature: Any) -> Any:
        scaled = (z - top) / LONG(temperature)
        p = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
        rows = ((p * given.t.sum(axis=1, keepdims=True) - given.t) * (z - top)).sum(axis=1)
        return (given.weight * rows).sum()

    def check(result: Any) -> str | None:
        if not (isinstance(result, float) and 0 < result < np.inf):
            return f"{result!r} is no temperature"
        with np.errstate(all="ignore"):
            low, high = slope(LONG(result) * (1 + LONG(1e-6))), slope(LONG(result) * (1 - LONG(1e-6)))
        scale = float(-(z - top).min()) or 1.0
        inside = np.exp(-29.9) < result / scale < np.exp(29.9) and limits.tiny < result < limits.max
        return f"no minimum at {result}: slopes {low}, {high}" if inside and not low <= 0 <= high else None

    case.check = check
    return case


def threads_case(draw: Draw, name: str) -> Case:
    """set_num_threads, and num_threads, which puts back what there was."""
    case, before = Case(draw, name), 2
    fs.set_num_threads(before)
    n = draw.choice(
        (1, 2, 3, np.int64(2), 64, 2**62, 0, -1, True, 1.0, "2", None, 2**70, np.ones(2, int), np.bool_(True))
    )
    good = isinstance(n, int | np.integer) and not isinstance(n, bool) and 1 <= n < 2**63
    case.option("n", n, bad=not good)

    def call(n: Any) -> list[int]:
        if name == "set_num_threads":
            fs.set_num_threads(n)
            fs.set_num_threads(before)
            return [n, before]
        with fs.num_threads(n):
            inside = fs.get_num_threads()
        return [inside, fs.get_num_threads()]

    case.call = call
    case.check = lambda result: None if result == [n, before] else f"{result}, not {[n, before]}"
    return case
