"""SciPy's own tests of logsumexp, softmax and log_softmax, of ours. What they test that ours lack is listed."""

from typing import Any

import numpy as np
import pytest
import scipy
from peers import check_table, module_copy, skip_what_does_not_apply

import fastsoftmax as fs

if not scipy.__version__.startswith("1.17."):
    pytest.skip("the table below is of SciPy 1.17's tests", allow_module_level=True)

module = module_copy("scipy.special.tests.test_logsumexp")


def softmax(x: Any, axis: Any = None) -> Any:
    """With SciPy's default axis."""
    return fs.softmax(x, axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """With SciPy's default axis."""
    return fs.log_softmax(x, axis)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """With SciPy's default axis. Weights b that are 0 are where=False, and others that are positive log b."""
    if return_sign:
        pytest.skip("no return_sign: logsumexp is of positive terms")
    if np.iscomplexobj(a) or np.iscomplexobj(b):
        pytest.skip(COMPLEX)
    if b is None:
        return fs.logsumexp(a, axis, keepdims=keepdims)
    if (np.asarray(b) < 0).any():
        pytest.skip("no negative weights: logsumexp is of positive terms")
    a, b = np.broadcast_arrays(np.asarray(a), b)
    where = b != 0
    shifted = np.where(where, a, 0) + np.log(b, where=where, out=np.zeros(b.shape))
    return fs.logsumexp(shifted.astype(np.result_type(a, b)), axis, keepdims=keepdims, where=where)


COMPLEX = "complex numbers are a TypeError here"
ELSEWHERE = {"test_wrap_radians": "of a private function of SciPy's"}

vars(module).update(softmax=softmax, log_softmax=log_softmax, logsumexp=logsumexp)
infinite = module.TestLogSumExp.test_gh22601_infinite_elements  # its parameters are an iterator, which pytest warns of
infinite.pytestmark = [pytest.mark.parametrize(m.args[0], list(m.args[1])).mark for m in infinite.pytestmark]
names = [name for name in vars(module) if name.lower().startswith("test")]
globals().update({name: vars(module)[name] for name in names})
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")


@pytest.fixture
def xp() -> Any:
    """NumPy, as SciPy's tests see it without other array libraries."""
    return scipy._lib._array_api.array_namespace(np.empty(0))


@pytest.fixture
def devices() -> list[Any]:
    """NumPy's one device."""
    return ["cpu", None]


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skips what ours do not have."""
    skip_what_does_not_apply(request, ELSEWHERE)


def test_the_table_names_tests_that_there_are() -> None:
    """None has another name by now."""
    check_table(ELSEWHERE, names)
    assert {"TestLogSumExp", "TestSoftmax", "TestLogSoftmax"} <= set(names)
