"""The gate for single numbers: what users hand in becomes an int, a float or a scalar of a dtype, or a clear error."""

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np


def index(value: Any) -> int:
    """An integer as an int; a TypeError for everything else, and for True and False, as NumPy has it for an axis."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def read_integer(name: str, value: Any) -> int:
    """The value as an int."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if abs(number) >= 2**63:
        raise ValueError(f"{name} must fit into 64 bits, got {value!r}")
    return number


def read_temperature(value: float, dtype: np.dtype[Any]) -> Any:
    """The temperature as a scalar of the dtype; None for 1, which kernels compile away."""
    number = _number("temperature", value)
    if number == 1:
        return None
    with np.errstate(all="ignore"):
        scalar = dtype.type(number)
    if not 0 < scalar < np.inf:
        raise ValueError(f"temperature must be positive and finite in {dtype}, got {value!r}")
    return scalar


def read_smoothing(value: float) -> float:
    """The label smoothing as a float between 0 and 1."""
    number = _number("label_smoothing", value)
    if not 0 <= number <= 1:
        raise ValueError(f"label_smoothing must be between 0 and 1, got {value!r}")
    return number


def read_count(name: str, value: int) -> int:
    """The value as an int of at least 1."""
    number = read_integer(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return number


def read_number(
    name: str,
    value: float,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """The value as a finite float in the range."""
    number = _number(name, value)
    if not (least <= number <= most and above < number < below):
        limits = {"at least": least, "above": above, "at most": most, "below": below}
        given = [f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit)]
        raise ValueError(f"{name} must be {' and '.join(['finite', *given])}, got {value!r}")
    return number


def read_flag(name: str, value: Any) -> bool:
    """The value as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise unless the value is one of the choices."""
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _number(name: str, value: float) -> float:
    try:
        if not isinstance(value, (str, bytes)):  # str | bytes takes five times as long
            return float(value)
    except OverflowError:
        return math.inf  # an int beyond the largest float, on either side: refused, as infinity is
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name} must be a number, got {value!r}")
