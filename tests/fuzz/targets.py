"""Targets, weights and options of a loss: drawn, and as the oracle takes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import REFUSED, values_of
from .cases import Case
from .oracles import LONG, long


@dataclass(frozen=True)
class Targets:
    """What a loss compares with, in long doubles.

    Attributes
    ----------
    t : distributions (N, C), smoothed, with class weights if they belong to the target
    weight : of each row, 0 for those left out
    scale : what a sum over rows is multiplied by; NaN for a mean over nothing
    scale_error : relative
    reduction : "none", "sum" or "mean"
    """

    t: np.ndarray
    weight: np.ndarray
    scale: Any
    scale_error: Any
    reduction: str


def add_targets(case: Case, shape: tuple[int, ...], ignore: int | None) -> np.ndarray:
    """Labels or distributions for logits of the shape; rarely such as are refused."""
    draw, rows, n_classes = case.draw, shape[:-1], shape[-1]
    if draw.chance(0.03):
        rows = draw.choice(((*rows, 1), rows[1:], (5,)))
    if draw.chance(0.02):
        return case.add("targets", values_of(draw, rows, draw.choice(REFUSED)))
    if draw.chance(0.35):
        t = draw.numbers.random((*rows, n_classes)) * (draw.numbers.random((*rows, n_classes)) < 0.7)
        t = t / np.maximum(t.sum(axis=-1, keepdims=True), 0.1) if draw.chance(0.7) else t
        if draw.chance(0.1) and t.size:
            t.flat[draw.randrange(t.size)] = draw.choice((np.nan, np.inf, -0.5, 5.0))
        return case.add("targets", np.asarray(t).astype(draw.choice(("f4", "f8", "f8", "f2"))))
    labels = np.asarray(draw.numbers.integers(0, max(n_classes, 1), rows))
    dtype = np.dtype(draw.choice(("i8", "i8", "i8", "i4", "u1", "u8", "f4", "f8", "f2", "?", "i1")))
    labels = labels % 2 if dtype.kind == "b" else labels.astype(dtype)
    labels = labels.astype(dtype)
    if labels.size and ignore is not None and draw.chance(0.7) and (dtype.kind == "f" or in_range(ignore, dtype)):
        with np.errstate(all="ignore"):
            labels[draw.numbers.random(rows) < 0.4] = ignore
    if labels.size and draw.chance(0.1):
        bad: tuple[Any, ...] = (n_classes, -1, 2**31, -(2**62), 2**63 - 1, 2**64 - 1)
        bad = (*bad, 0.5, np.nan, np.inf, -np.inf, 1e300, 2.0**53, -0.0) if dtype.kind == "f" else bad
        value = draw.choice(bad)
        if dtype.kind == "f" or in_range(value, dtype):
            with np.errstate(all="ignore"):
                labels.flat[draw.randrange(labels.size)] = value
    return case.add("targets", labels)


def in_range(value: int, dtype: np.dtype) -> bool:
    """Whether an integer dtype holds the value."""
    return dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def add_weights(case: Case, name: str, shape: tuple[int, ...], compute: np.dtype) -> np.ndarray | None:
    """Weights of rows or classes; rarely such as are refused."""
    draw = case.draw
    if draw.chance(0.6):
        return None
    wanted = shape
    if draw.chance(0.04):
        shape = draw.choice(((*shape, 1), (), (7,)))
    kind = draw.randrange(12)
    weights = np.asarray(draw.numbers.random(shape) * 3)
    if kind == 0:
        weights = np.asarray(draw.numbers.integers(0, 2, shape)).astype(np.float64)
    elif kind == 1:
        weights = weights * 10.0 ** draw.choice((-300, -30, 30, 300))
    elif kind == 2:
        weights = np.zeros(shape)
    elif kind == 3 and weights.size:
        weights.flat[draw.randrange(weights.size)] = draw.choice((-1.0, np.nan, np.inf, 1e39, -0.0, -5e-324, 5e-324))
    dtype = draw.choice(("f8", "f8", "f4", "i4", "?", "u1")) if kind != 1 else "f8"
    with np.errstate(all="ignore"):
        given = case.add(name, np.asarray(weights).astype(dtype))
        values = given.astype(compute)
        if given.shape != wanted or not ((values >= 0) & (values < np.inf)).all():
            case.faults.add(name)
    return values


def add_options(case: Case, shape: tuple[int, ...], compute: np.dtype, by_rows: bool) -> Targets | None:
    """All arguments of a loss on logits of the shape but for these; None if one is at fault."""
    draw = case.draw
    ignore = draw.choice((-100, -1, 0, 1, 2**62)) if draw.chance(0.25) else None
    targets = add_targets(case, shape, ignore)
    if ignore is not None:
        case.option("ignore_index", ignore, bad=ignore >= 0 and is_soft(targets, shape) and targets.shape == shape)
    elif draw.chance(0.01):
        case.option("ignore_index", draw.choice((1.5, 2**70, "0")), bad=True)
    of_rows = add_weights(case, "sample_weight", shape[:-1], np.dtype(np.float64))
    of_classes = add_weights(case, "class_weight", shape[-1:], compute)
    smoothing = 0.0
    if draw.chance(0.3):
        smoothing = draw.choice((0, 1, 0.1, 0.1, 0.5, True, np.float32(0.3), 1e-12))
        if draw.chance(0.05):
            smoothing = draw.choice((-0.1, 1.1, np.nan, "much", 10**400, None, 1j))
        good = isinstance(smoothing, int | float | np.floating) and 0 <= smoothing <= 1
        case.option("label_smoothing", smoothing, bad=not good)
    reduction = draw.choice(("mean", "mean", "sum", "none"))
    if reduction != "mean" or draw.chance(0.3):
        case.option("reduction", reduction)
    if draw.chance(0.01):
        case.option("reduction", draw.choice(("avg", None, 1, b"sum")), bad=True)
    check_targets(case, targets, shape, ignore)
    if case.faults:
        return None
    return prepared(case, targets, shape, compute, by_rows, (of_rows, of_classes, float(smoothing), ignore, reduction))


def is_soft(targets: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether they are distributions."""
    return targets.ndim == len(shape) and (targets.dtype.kind == "f" or targets.shape == shape)


def check_targets(case: Case, targets: np.ndarray, shape: tuple[int, ...], ignore: int | None) -> None:
    """Note whether an error is due to the targets."""
    if "targets" in case.faults:
        return
    if is_soft(targets, shape):
        if targets.shape != shape:
            case.faults.add("targets")
    elif targets.shape != shape[:-1] or not all(
        is_class(v, shape[-1]) or v == ignore for v in targets.ravel().tolist()
    ):
        case.faults.add("targets")


def is_class(value: float, n_classes: int) -> bool:
    """Whether a label is one."""
    return 0 <= value < n_classes and value == int(value)


def prepared(
    case: Case, targets: np.ndarray, shape: tuple[int, ...], compute: np.dtype, by_rows: bool, options: tuple
) -> Targets | None:
    """The targets for the oracle; None (and a fault) if there is nothing to divide a mean by."""
    of_rows, of_classes, smoothing, ignore, reduction = options
    n_rows, n_classes, soft = int(np.prod(shape[:-1])), shape[-1], is_soft(targets, shape)
    flat, weight = targets.reshape(n_rows, n_classes) if soft else targets.reshape(n_rows), np.ones(n_rows, LONG)
    taken = np.ones(n_rows, bool) if soft or ignore is None else np.array([v != ignore for v in flat.tolist()], bool)
    t = long(flat, compute) if soft else (flat[:, None] == np.arange(n_classes)).astype(LONG)
    t = t if soft else np.where(taken[:, None], t, 0)
    weight = of_rows.reshape(-1).astype(LONG) if of_rows is not None else weight
    by_target = np.ones(n_rows, LONG)
    of_classes = None if of_classes is None or not of_classes.size else of_classes  # of no classes: nothing to weigh
    if of_classes is not None:
        with np.errstate(all="ignore"):
            by_target = t @ of_classes.astype(LONG)
    counts = by_target if not soft or by_rows else np.ones(n_rows, LONG)
    with np.errstate(all="ignore"):
        both = np.where(weight == 0, 0, weight * counts)  # a row of weight 0 is absent, whatever its target is
    weight, divisor = both if by_rows else weight, both[taken]
    if smoothing:
        with np.errstate(all="ignore"):
            t = (1 - LONG(smoothing)) * t + LONG(smoothing) / max(n_classes, 1)
    if of_classes is not None and not by_rows:
        with np.errstate(all="ignore"):
            t = t * of_classes.astype(LONG)
    scale, error = LONG(1), LONG(0)
    if reduction == "mean":
        for name, some in (("sample_weight", of_rows), ("class_weight", of_classes)):
            if some is not None and some.size and not some.any():
                case.faults.add(name)
        total = divisor.sum()
        if taken.any() and not total > 0 and (of_classes is not None or (of_rows is not None and of_rows.size)):
            case.faults.add("weights")
        case.either = not (1e-290 < np.abs(total) < 1e290)  # near the ends of float64
        with np.errstate(all="ignore"):
            scale = 1 / total if total > 0 else LONG(np.nan)
            error = (n_rows + n_classes + 4) * np.finfo(compute).eps * np.abs(divisor).sum() * np.abs(scale)
    largest = weight.max(initial=0) * (of_classes.max() if of_classes is not None else 1)
    case.either = case.either or bool(largest > 1e290)
    if case.faults:
        return None
    return Targets(t, np.where(taken, weight, 0), scale, error, reduction)
