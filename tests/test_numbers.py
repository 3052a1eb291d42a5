"""The gate for single numbers: what is taken, where each range ends, and the words of each error."""

import math

import numpy as np
import pytest
from helpers import FLOATS

from fastsoftmax._gate import numbers

INF, NAN = math.inf, math.nan


def says(error, text, function, *arguments, **options):
    """The whole text, not a part of it."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    assert str(caught.value) == text


def test_integers():
    for value in (0, -3, np.int8(7), 2**63 - 1, 1 - 2**63):
        assert numbers.read_integer("axis", value) == int(value)
        assert type(numbers.read_integer("axis", value)) is int
    says(TypeError, "axis must be an integer, got 1.0", numbers.read_integer, "axis", 1.0)
    says(TypeError, "axis must be an integer, got True", numbers.read_integer, "axis", True)
    says(TypeError, "axis must be an integer, got '1'", numbers.read_integer, "axis", "1")
    for value in (2**63, -(2**63), 10**30):
        says(ValueError, f"axis must fit into 64 bits, got {value}", numbers.read_integer, "axis", value)


def test_counts():
    for value in (1, 2, np.uint8(200)):
        assert numbers.read_count("n", value) == value
        assert type(numbers.read_count("n", value)) is int
    says(TypeError, "n must be an integer, got True", numbers.read_count, "n", True)
    says(TypeError, "n must be an integer, got 1.5", numbers.read_count, "n", 1.5)
    says(ValueError, "n must be at least 1, got 0", numbers.read_count, "n", 0)
    says(ValueError, "n must be at least 1, got -4", numbers.read_count, "n", -4)


def test_temperatures():
    assert numbers.read_temperature(1, np.dtype(np.float32)) is None
    assert numbers.read_temperature(np.float16(1), np.dtype(np.float64)) is None
    for dtype in map(np.dtype, FLOATS):
        for value in (2.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max):
            scalar = numbers.read_temperature(float(value), dtype)
            assert scalar == value
            assert scalar.dtype == dtype
        for value in (0.0, -1.0, INF, NAN):
            text = f"temperature must be positive and finite in {dtype}, got {value!r}"
            says(ValueError, text, numbers.read_temperature, value, dtype)
    text = "temperature must be positive and finite in float32, got 1e+300"
    with np.errstate(all="raise"):
        says(ValueError, text, numbers.read_temperature, 1e300, np.dtype(np.float32))
        says(ValueError, text.replace("+", "-"), numbers.read_temperature, 1e-300, np.dtype(np.float32))
    says(TypeError, "temperature must be a number, got 'warm'", numbers.read_temperature, "warm", np.dtype(np.float32))


def test_smoothing():
    for value in (0, 0.5, 1, np.float32(0.25)):
        assert numbers.read_smoothing(value) == value
        assert type(numbers.read_smoothing(value)) is float
    for value in (-1e-9, 1.0000001, NAN):
        says(ValueError, f"label_smoothing must be between 0 and 1, got {value!r}", numbers.read_smoothing, value)
    says(TypeError, "label_smoothing must be a number, got None", numbers.read_smoothing, None)


def test_numbers_in_a_range():
    assert numbers.read_number("alpha", 3) == 3.0
    assert numbers.read_number("alpha", -1e300) == -1e300
    assert type(numbers.read_number("alpha", np.int8(3))) is float
    assert numbers.read_number("alpha", 0, least=0) == 0
    assert numbers.read_number("alpha", 0.5, above=0, below=1) == 0.5
    for value in (INF, -INF, NAN):
        says(ValueError, f"alpha must be finite, got {value!r}", numbers.read_number, "alpha", value)
    says(ValueError, "alpha must be finite and at least 0, got -0.5", numbers.read_number, "alpha", -0.5, least=0)
    for value in (0.0, 1.0, INF, 1.5):
        text = f"beta must be finite and above 0 and below 1, got {value!r}"
        says(ValueError, text, numbers.read_number, "beta", value, above=0, below=1)
    text = "alpha must be finite and at least 2 and below 4, got 1"
    says(ValueError, text, numbers.read_number, "alpha", 1, least=2, below=4)
    assert numbers.read_number("alpha", 1, least=0, most=1) == 1
    text = "alpha must be finite and at least 0 and at most 1, got 1.0000000000000002"
    says(ValueError, text, numbers.read_number, "alpha", 1 + 2**-52, least=0, most=1)


def test_integers_beyond_the_largest_float_count_as_infinite():
    says(ValueError, f"a must be finite and at least 0, got {10**400}", numbers.read_number, "a", 10**400, least=0)
    says(ValueError, f"a must be finite and below 0, got {-(10**400)}", numbers.read_number, "a", -(10**400), below=0)
    text = f"label_smoothing must be between 0 and 1, got {10**400}"
    says(ValueError, text, numbers.read_smoothing, 10**400)


@pytest.mark.parametrize("value", ["1", b"1", None, 1j, [1.0, 2.0], np.ones(2), {}])
def test_what_is_no_number(value):
    says(TypeError, f"alpha must be a number, got {value!r}", numbers.read_number, "alpha", value)


def test_flags():
    for value in (True, False, np.True_, np.False_):
        assert numbers.read_flag("shuffle", value) is bool(value)
    for value in (1, 0, "True", None):
        says(TypeError, f"shuffle must be True or False, got {value!r}", numbers.read_flag, "shuffle", value)


def test_choices():
    choices = ("sgd", "adam")
    for value in choices:
        assert numbers.check_choice("solver", value, choices) is None
    for value in ("lbfgs", "SGD", "", None, 1, ["sgd"], np.array(["sgd", "adam"])):
        says(
            ValueError,
            f"solver must be one of sgd, adam, got {value!r}",
            numbers.check_choice,
            "solver",
            value,
            choices,
        )


def test_limits_are_told_as_short_as_they_are():
    with pytest.raises(ValueError, match=r"^x must be finite and at least 0 and below 1\.5, got 2$"):
        numbers.read_number("x", 2, least=0.0, below=1.5)
    for huge in (10**400, -(10**400)):
        with pytest.raises(ValueError, match=r"^x must be finite, got -?1000"):
            numbers.read_number("x", huge)
