"""cross_entropy and squared_error with their gradients, and softmax_grad_hess."""

from typing import Any

import numpy as np

from .arrays import Draw, float_dtype, values_of
from .cases import Case
from .maps import add_any_out
from .oracles import Exact, dtypes_of, long, mismatch, soft
from .targets import Targets, add_options

Axes = tuple[int, ...]


def row_losses(kind: str, z: np.ndarray, given: Targets, compute: np.dtype, error: Any = 0.0) -> tuple[Exact, Exact]:
    """Each row's own loss and gradient in the logits z (N, C), neither weighed; rows with infinite targets unjudged."""
    limits, t = np.finfo(compute), given.t
    eps, tiny, length = limits.eps, limits.tiny, 8 + t.shape[1]
    parts = soft(z, (1,), eps, tiny, error=error)
    p, p_off, size = parts.probs.values, parts.probs.bound, np.abs(t)
    with np.errstate(all="ignore"):
        if kind == "cross_entropy":
            lp = parts.log_probs
            loss = -np.where(t == 0, 0, t * lp.values).sum(axis=1)
            off = np.where(t == 0, 0, size * (lp.bound + length * eps * np.abs(lp.values))).sum(axis=1)
            large = np.where(t == 0, 0, np.maximum(size, 1) * np.abs(lp.values)).sum(axis=1) > limits.max / 64
            off = np.where(large & np.isfinite(loss), np.inf, off)
            mass, mass_size = t.sum(axis=1, keepdims=True), size.sum(axis=1, keepdims=True)
            grad = p * mass - t
            grad_off = p_off * mass_size + eps * (length * p * mass_size + 4 * size) + tiny * (1 + mass_size)
        else:
            d, d_off = p - t, p_off + 2 * eps * size
            loss, off = (d * d).sum(axis=1), (d_off * (2 * np.abs(d) + d_off) + length * eps * d * d).sum(axis=1)
            g, g_off = 2 * d, 2 * (d_off + eps * np.abs(d))
            total = (g * p).sum(axis=1, keepdims=True)
            total_off = (g_off * p + np.abs(g) * (p_off + length * eps * p)).sum(axis=1, keepdims=True)
            grad = p * (g - total)
            rest = np.abs(g) + np.abs(total)
            grad_off = p_off * rest + p * (g_off + total_off + 4 * eps * rest) + tiny * (1 + rest)
    off = off + tiny * (1 + size.sum(axis=1))
    bad = np.isnan(p).any(axis=1) | np.isnan(t).any(axis=1)
    loss, grad = np.where(bad, np.nan, loss), np.where(bad[:, None], np.nan, grad)
    unjudged = (size > limits.max / 1e8).any(axis=1)
    return (
        Exact(loss, np.where(unjudged, np.inf, np.nan_to_num(off, nan=0.0, posinf=np.inf))),
        Exact(grad, np.where(unjudged[:, None], np.inf, np.nan_to_num(grad_off, nan=0.0, posinf=np.inf))),
    )


def weighed(row: Exact, given: Targets, compute: np.dtype, scaled: bool) -> Exact:
    """Rows times their weights (and the scale of a mean); a row of weight 0 is absent, whatever is in it."""
    limits, weight = np.finfo(compute), given.weight
    scale = (0 if np.isnan(given.scale) else given.scale) if scaled else 1
    with np.errstate(all="ignore"):
        weight = (weight * scale).reshape(-1, *[1] * (row.values.ndim - 1))
        values = np.where(weight == 0, 0, weight * row.values)
        bound = np.abs(weight) * row.bound + (4 * limits.eps + given.scale_error) * np.abs(values) + 4 * limits.tiny
        outside = (np.abs(weight) > limits.max / 1e8) | ((np.abs(weight) < limits.tiny * 1e8) & (weight != 0))
    bound = np.where(weight == 0, 0, np.nan_to_num(bound, nan=0.0, posinf=np.inf))
    return Exact(values, np.where(outside, np.inf, bound))


def reduced(row: Exact, given: Targets, compute: np.dtype) -> Exact:
    """The loss of all rows as one number, or each row's own."""
    each = weighed(row, given, np.dtype(np.float64), scaled=False)
    if given.reduction == "none":
        return each
    with np.errstate(all="ignore"):
        values = each.values.sum() * given.scale
        size = np.abs(each.values).sum()
        bound = each.bound.sum() + (len(each.values) + 8) * np.finfo(np.float64).eps * size + given.scale_error * size
        bound = bound * np.abs(given.scale)
        outside = (each.bound == np.inf).any() or size > np.finfo(np.float64).max / 2  # sums are in float64
        bound = np.where(outside, np.inf, bound)
    return Exact(np.asarray(values), np.nan_to_num(np.asarray(bound), nan=0.0, posinf=np.inf))


def loss_case(draw: Draw, name: str) -> Case:
    """One of the four losses on logits."""
    case, kind = Case(draw, name), name.removesuffix("_value_and_grad")
    logits = case.add("logits", values_of(draw, draw.shape(most=3), float_dtype(draw)))
    if not logits.ndim:
        case.faults.add("logits")
    if "logits" in case.faults:
        case.add("targets", np.zeros(logits.shape[:-1], int))
        return case
    dtype, compute = dtypes_of(logits)
    given = add_options(case, logits.shape, compute, by_rows=kind == "squared_error")
    with_grad = name != kind
    if with_grad:
        add_any_out(case, logits.shape, dtype, "logits", "targets")
    if case.faults or given is None:
        return case
    z = long(logits, compute).reshape(given.t.shape)
    loss, grad = row_losses(kind, z, given, compute)
    loss, grad = reduced(loss, given, compute), weighed(grad, given, compute, scaled=True)
    loss = Exact(loss.values.reshape(logits.shape[:-1] if given.reduction == "none" else ()), loss.bound)
    loss = Exact(loss.values, loss.bound.reshape(loss.values.shape))
    grad = Exact(grad.values.reshape(logits.shape), grad.bound.reshape(logits.shape))

    def check(result: Any) -> str | None:
        wrong = mismatch("loss", result[0] if with_grad else result, loss, dtype)
        return wrong or (mismatch("grad_logits", result[1], grad, dtype) if with_grad else None)

    case.check = check
    return case
