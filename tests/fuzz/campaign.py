"""The judge: makes calls until one goes wrong, and tells how to make that one again."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fastsoftmax as fs

from .arrays import Draw
from .cases import Case
from .classifiers import classifier_case
from .jitted import jitted_case
from .layers import argmax_case, forward_case, hvp_case, linear_loss_case, vjp_case
from .losses import loss_case
from .maps import map_case, product_case
from .others import boosting_case, temperature_case, threads_case

MAKERS: dict[str, Callable[[Draw], Case]] = {
    **{name: partial(map_case, name=name) for name in ("softmax", "log_softmax", "logsumexp")},
    **{
        name: partial(product_case, name=name)
        for name in ("softmax_jvp", "softmax_vjp", "log_softmax_jvp", "log_softmax_vjp")
    },
    **{
        name + suffix: partial(loss_case, name=name + suffix)
        for name in ("cross_entropy", "squared_error")
        for suffix in ("", "_value_and_grad")
    },
    **{name: partial(forward_case, name=name) for name in ("dense", "linear_softmax", "linear_log_softmax")},
    **{
        f"linear_{name}{suffix}": partial(linear_loss_case, name=f"linear_{name}{suffix}")
        for name in ("cross_entropy", "squared_error")
        for suffix in ("", "_value_and_grad")
    },
    **{name: partial(hvp_case, name=name) for name in ("linear_cross_entropy_hvp", "linear_squared_error_hvp")},
    "linear_argmax": partial(argmax_case, name="linear_argmax"),
    "dense_vjp": partial(vjp_case, name="dense_vjp"),
    "softmax_grad_hess": partial(boosting_case, name="softmax_grad_hess"),
    "fit_temperature": partial(temperature_case, name="fit_temperature"),
    "SoftmaxClassifier": partial(classifier_case, name="SoftmaxClassifier"),
    **{name: partial(threads_case, name=name) for name in ("set_num_threads", "num_threads")},
}
NJIT = "njit"  # the functions inside @njit code: a minute of compilation


def campaign(
    calls: int, seed: int, first: int = 0, only: str | None = None, njit: bool = False
) -> Iterator[tuple[int, str, str | None]]:
    """Make calls number first, first + 1, ...: the number, what came of each, and what is wrong with it, or None."""
    makers = {**MAKERS, NJIT: partial(jitted_case, name=NJIT)} if njit or only == NJIT else MAKERS
    names = [name for name in makers if only is None or name == only]
    for number in range(first, first + calls):
        draw = Draw(f"{seed} {number}")
        with np.errstate(all="ignore"):
            case = makers[draw.choice(names)](draw)
        outcome, wrong = judge(case)
        yield number, f"{case.name}: {outcome}", wrong and f"{case.describe()}\n  -> {wrong}"


def judge(case: Case) -> tuple[str, str | None]:
    """Make the call: "result" or "error", and what is wrong, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if case.warns else "error")
        try:
            if "threads" in case.name:
                result = case.call(**case.arguments)
            else:
                with fs.num_threads(case.draw.choice((1, 2))):
                    result = case.call(**case.arguments)
        except (TypeError, ValueError) as error:
            return "error", wrong_error(case, error)
        except Exception as error:  # whatever else it is, it is a fault
            return "error", f"{type(error).__name__}: {error}"
        return "result", wrong_result(case, result)


def wrong_error(case: Case, error: Exception) -> str | None:
    """What is wrong with an error."""
    if not case.either and not any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in case.faults):
        return f"{type(error).__name__}: {error}"
    for name, placed in case.inputs + case.outs:
        if not placed.untouched():
            return f"an error, but {name} was written: {error}"
    return None


def wrong_result(case: Case, result: Any) -> str | None:
    """What is wrong with a result."""
    if case.faults and not case.either:
        return "a result, but an error is due"
    for name, placed in case.inputs:
        if not placed.untouched():
            return f"the input {name} was written"
    wrong = None if case.either else case.check(result)
    if wrong is None and case.draw.chance(0.2):
        wrong = differs_from_clean(case, result)
    for name, placed in case.outs:
        if wrong is None and not placed.only_elements_touched():
            wrong = f"memory beside {name} was written"
    return wrong


def differs_from_clean(case: Case, result: Any) -> str | None:
    """Clean copies of all arguments must give the same bits."""
    clean = case.call(**{name: value for name, value in case.clean.items() if name != "out"})
    for got, want in zip(flat(result), flat(clean), strict=True):
        if got.tobytes() != want.tobytes() and not np.array_equal(got, want, equal_nan=True):
            return "not the same bits as clean copies of the arguments give"
    return None


def flat(result: Any) -> list[np.ndarray]:
    """All arrays and numbers of a result."""
    if isinstance(result, tuple):
        return [array for item in result if item is not None for array in flat(item)]
    return [np.asarray(result)]


def run(
    calls: int, seed: int, first: int = 0, only: str | None = None, most: int = 1, njit: bool = False
) -> tuple[Counter, list[str]]:
    """Make calls until `most` have gone wrong: how many came to what, and the reports of those."""
    outcomes: Counter = Counter()
    reports: list[str] = []
    more = (f" --only {only}" if only else "") + (" --njit" if njit else "")
    for number, outcome, wrong in campaign(calls, seed, first, only, njit):
        outcomes[outcome] += 1
        if wrong is not None:
            reports.append(f"seed {seed}, call {number} (--seed {seed} --first {number} --calls 1{more}): {wrong}")
            if len(reports) >= most:
                break
    return outcomes, reports
