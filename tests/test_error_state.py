"""np.seterr of the caller changes no result and stops no call; callbacks find it as the caller has set it."""

import warnings

import numpy as np
import pytest
from helpers import flat, parameters, public_calls, quiet, rng, same_bits
from scipy.sparse import csr_array
from sklearn.base import clone

import fastsoftmax as fs

HOSTILE = ["ordinary", "far apart", "subnormal", "nan and inf"]


def hostile(arguments, kind, dtype):
    """The arguments with numbers that overflow and underflow on the way."""
    changed = {}
    for name, array in arguments.items():
        if name in ("logits", "raw", "tangent", "cotangent", "X", "weight") and kind != "ordinary":
            array = array.astype(dtype)
            large = float(np.finfo(dtype).max) / 4
            if kind == "far apart":
                array = array * dtype(
                    100 if name in ("X", "weight") else large / 1000 if name == "raw" else large / 1e4
                )
            elif kind == "subnormal":
                array = array * np.finfo(dtype).smallest_subnormal
            else:
                array = array.copy()
                array[0, 0], array[1, 1], array[2, 2] = np.nan, np.inf, -np.inf
        changed[name] = array if array.dtype.kind != "f" or name == "sample_weight" else array.astype(dtype)
    return changed


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", public_calls())
def test_a_call_gives_the_same_under_any_state(name, kind, dtype):
    function, arguments = public_calls()[name]
    if name == "fit_temperature" and kind == "nan and inf":
        pytest.skip("logits must be finite")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # fit_temperature's own: no temperature is best
        given = hostile(arguments, kind, dtype)
        expected = flat(function(**given))
        with np.errstate(all="raise"):
            results = flat(function(**given))
    for result, right in zip(results, expected, strict=True):
        assert same_bits(result, right)


def test_losses_too_small_or_large_for_their_dtype():
    with np.errstate(all="raise"):
        logits = np.array([[0.0, -3.4e38]], np.float32)
        assert fs.cross_entropy(logits, [0]) == 0
        for out in (None, np.empty_like(logits)):
            assert fs.cross_entropy_value_and_grad(logits, np.array([1]), out=out)[0] > 3e38
        assert fs.cross_entropy(np.array([[0.0, -100.0]], np.float32), [0], sample_weight=[1e-30], reduction="sum") == 0
        assert fs.cross_entropy(np.array([[0, 6e4]], np.float16), [0], sample_weight=[100.0], reduction="sum") == np.inf
        assert fs.softmax(np.array([0, -30], np.float16))[1] == 0
        assert fs.logsumexp(np.array([[-1e-320, -np.inf]]))[0] <= 0


X = rng().standard_normal((200, 5)) * [1, 1e-20, 1e20, 1, 0]
Y = rng(1).integers(0, 3, 200)
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backward", ["fused", "vjp", "jacobian"])
def test_a_fit_under_any_state(solver, dtype, backward):
    if solver.startswith(("newton", "coordinate")) and backward != "fused":
        pytest.skip("Newton's methods have the fused way alone")
    x = (X if solver not in ("sgd", "adam") else X * [1, 1e18, 1e-20, 1, 1]).astype(dtype)
    soft = np.eye(3)[Y] * (1 - 2e-40) + [1e-40, 1e-40, 1e-40]
    for y in (Y, soft):
        model = fs.SoftmaxClassifier(
            solver=solver, max_iter=20, backward=backward, random_state=0, class_weight={0: 1e-30, 1: 1.0, 2: 1.0}
        )
        expected = [a.copy() for a in parameters(quiet(model, x, y))]
        probs = model.predict_proba(x)
        with np.errstate(all="raise"):
            quiet(model, x, y)
            assert all(same_bits(a, b) for a, b in zip(parameters(model), expected, strict=True))
            assert same_bits(model.predict_proba(x), probs)
            model.predict_log_proba(x)
            model.predict(x)
            model.score(x, y)
            model.fit_temperature(x, y)
            if solver in ("sgd", "adam"):
                model.partial_fit(x, y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("x", [X[:, [0, 3]], csr_array(X[:, [0, 3]])], ids=["dense", "csr"])
def test_callbacks_find_the_callers_state_and_do_not_change_ours(solver, x):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before 1.9")
    state = {"divide": "raise", "over": "warn", "under": "raise", "invalid": "print"}
    seen = []

    class Spoiling:
        max_estimator_depth = 1

        def setup(self, estimator, context):
            pass

        teardown = setup

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
            seen.append((context.task_name, np.geterr()))
            if context.task_name == "iteration":
                np.seterr(all="raise")

    plain = fs.SoftmaxClassifier(solver=solver, max_iter=5, random_state=0, tol=1e-8)
    expected = quiet(plain, x, Y)
    with np.errstate(**state):
        model = quiet(clone(plain).set_callbacks(Spoiling()), x, Y)
    assert len([name for name, _ in seen if name == "iteration"]) > 2
    in_training = [found for name, found in seen if name == "iteration"][:-1]  # the last one is ended after training
    assert all(found == state for found in in_training)
    assert all(same_bits(a, b) for a, b in zip(parameters(model), parameters(expected), strict=True))
