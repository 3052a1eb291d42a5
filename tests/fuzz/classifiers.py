"""SoftmaxClassifier: any parameters, X, y and weights; fit, partial_fit and round trips; predictions after it."""

import os
import pickle
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse
from sklearn.base import clone

import fastsoftmax as fs

from .arrays import INTEGERS, Draw, float_values, place, values_of
from .cases import Case
from .oracles import LONG, Exact, soft
from .samples import Dense, add_csr, matmul

# What an error may name where X or y is at fault: some are scikit-learn's, in its words
OF_X = {"X", "array", "sample", "samples", "feature", "features", "Complex", "indices", "indptr", "matrix", "string"}
OF_Y = {
    "y",
    "labels",
    "label",
    "targets",
    "target",
    "class",
    "classes",
    "inconsistent",
    "samples",
    "Input",
    "Complex",
    "dim",
}
OF_WEIGHT = {"sample_weight", "weight", "weights"}
LINEAR = ("auto", "lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam")
STOCHASTIC = ("sgd", "adam")
Labels = Callable[[np.ndarray], Any]
LABELS: dict[str, Labels] = {
    "int": lambda k: k,
    "negative": lambda k: -7 * k,
    "huge": lambda k: 2**53 + k,
    "uint8": lambda k: (250 + k).astype(np.uint8),
    "float": lambda k: k.astype(float),
    "text": lambda k: np.array(["a", "b b", "", "é", "1", "01", "zz"])[k],
    "object": lambda k: np.array(["a", "b b", "", "é", "1", "01", "zz"], object)[k],
    "series": lambda k: pd.Series(k, index=np.arange(len(k))[::-1]),
    "categorical": lambda k: pd.Series(pd.Categorical(np.array(list("gfedcba"))[k])),
    "list": lambda k: k.tolist(),
    "column": lambda k: k[:, None],
}
BAD_LABELS: dict[str, Labels] = {
    "halves": lambda k: k + 0.25 * (k > 0),
    "nan": lambda k: np.where(k == k.max(), np.nan, k),
    "short": lambda k: k[:-1],
    "none": lambda k: None,
    "one class": np.zeros_like,
    "sparse": lambda k: csr_array(k[:, None]),
    "three axes": lambda k: k[:, None, None],
    "complex": lambda k: k + 1j,
}
BAD_PARAMS = [
    {"alpha": -1.0}, {"alpha": np.nan}, {"alpha": "1"}, {"tol": -1e-9}, {"max_iter": 0}, {"max_iter": 2.5},
    {"solver": "liblinear"}, {"loss": "hinge"}, {"activation": "gelu"}, {"backward": "up"}, {"l1_ratio": 1.5},
    {"label_smoothing": 1.01}, {"n_threads": 0}, {"class_weight": "even"}, {"class_weight": {99: 1.0, 98: 2.0}},
    {"hidden_layer_sizes": (3, 0)}, {"batch_size": -1}, {"learning_rate_init": 0.0}, {"momentum": 2.0},
    {"beta_1": 1.0}, {"epsilon": 0.0}, {"fit_intercept": "yes"}, {"n_iter_no_change": 0}, {"checkpoint": 7},
]  # fmt: skip


def classifier_case(draw: Draw, name: str) -> Case:
    """Training of one of several kinds, and what is predicted after it."""
    case = Case(draw, name)
    n, d, c = draw.choice((2, 3, 5, 20, 33, 130)), draw.choice((1, 1, 2, 3, 8, 17)), draw.choice((2, 2, 3, 5, 7))
    n = max(n, c)  # each class has a sample
    case.warns = True
    X = add_X(case, n, d)
    y, classes = add_y(case, n, c)
    params = draw_params(draw, n)
    if draw.chance(0.03):
        bad = draw.choice(BAD_PARAMS)
        params |= bad
        case.faults |= {*bad, "class_weight" if "class_weight" in bad else "solver"}
    weights = None
    if draw.chance(0.3):
        weights = case.add("sample_weight", draw.numbers.choice([0.0, 0.5, 1.0, 3.0], n))
        if weights.any() and draw.chance(0.1):
            del case.arguments["sample_weight"], case.clean["sample_weight"]
            case.inputs = [(name, placed) for name, placed in case.inputs if name != "sample_weight"]
            bad_weights = draw.choice([weights - 1.0 - weights.min(), np.full(n, np.nan), weights[1:], np.zeros(n)])
            case.option("sample_weight", bad_weights, bad=True)
        if not np.any(weights):
            case.faults.add("sample_weight")
        if "sample_weight" in case.faults:
            case.faults |= OF_WEIGHT | {"samples"}
    steps = draw.randint(1, 3) if params["solver"] in STOCHASTIC and draw.chance(0.5) else 0
    case.option("params", params)
    case.call = partial(trained, steps=steps, trip=draw.choice((pickled, saved, cloned)), classes=classes)
    if weights is not None and not case.faults and (y[weights > 0].max(axis=0) == y[weights > 0].min(axis=0)).all():
        case.either = True  # one class has all the weight, or no class weight is left
    odd = any(is_odd(case.arguments.get(name)) for name in ("X", "sample_weight"))
    case.either = case.either or bool(params.get("class_weight")) or odd or not usual(X)
    case.check = partial(check, case=case, X=X, y=y, weights=weights, stepwise=steps > 0)
    return case


def is_odd(value: Any) -> bool:
    """What is no array of numbers; scikit-learn takes some of these."""
    if isinstance(value, np.ndarray):
        return isinstance(value, np.ma.MaskedArray) or value.dtype.kind == "O"
    return isinstance(value, str | dict) or (isinstance(value, list) and len({np.size(row) for row in value}) > 1)


def usual(X: np.ndarray) -> bool:
    """Whether nothing is so large or small that rounding or overflow rules what comes out."""
    sizes = np.abs(np.asarray(X.sums if isinstance(X, Dense) else X, LONG))
    return bool(np.isfinite(sizes).all() and (sizes < 1e4).all() and ((sizes == 0) | (sizes > 1e-4)).all())


def add_X(case: Case, n: int, d: int) -> np.ndarray:
    """A dense array of any layout, a CSR matrix of any kind, or a data frame."""
    draw, kind = case.draw, case.draw.choice(("f4", "f8", "f8", "f2", *INTEGERS))
    if draw.chance(0.3):
        X: np.ndarray = add_csr(case, (n, d), kind)
    else:
        wild = 0.15 if np.dtype(kind).kind == "f" else 0.0
        values = float_values(draw, (n, d), kind, wild) if wild else values_of(draw, (n, d), kind)
        if draw.chance(0.1):
            X = values
            case.option("X", pd.DataFrame(values, columns=[f"feature {k}" for k in range(d)]))
        else:
            X = case.add("X", values)
        if X.ndim != 2:
            case.faults.add("X")
    if not np.isfinite(X.sums if isinstance(X, Dense) else X).all():
        case.faults.add("X")
    if issparse(case.arguments["X"]) and case.arguments["X"].format != "csr":
        case.faults.discard("X")  # other formats are converted
        case.either = True
    if "X" in case.faults:
        case.faults |= OF_X
    return X


def add_y(case: Case, n: int, c: int) -> tuple[np.ndarray, Any]:
    """Labels of any kind, or distributions; positions of the classes or distributions, and the classes."""
    draw = case.draw
    if draw.chance(0.15):
        probs = draw.numbers.dirichlet(np.ones(c), n).astype(draw.choice(("f4", "f8")))
        if draw.chance(0.05):
            probs[draw.randrange(n), 0] += draw.choice((0.1, -2.0, np.nan))
            case.faults |= OF_Y
        placed = place(draw, probs)
        case.inputs.append(("y", placed))
        case.arguments["y"], case.clean["y"] = placed.array, probs
        return probs.astype(float), np.arange(c)
    positions = draw.numbers.permutation(np.arange(n) % c)
    bad = draw.chance(0.05)
    make = draw.choice(list((BAD_LABELS if bad else LABELS).values()))
    labels, every = make(positions), make(np.arange(c))
    if make is LABELS["column"]:
        every = np.arange(c)
    case.option("y", labels)
    if bad:
        case.faults |= OF_Y
        return positions, every
    classes, order = np.unique(np.asarray(every), return_inverse=True)
    return order[positions], classes


def draw_params(draw: Draw, n: int) -> dict[str, Any]:
    """Parameters that fit together."""
    hidden = draw.choice(((), (), (), 3, (5,), (4, 2)))
    solver = draw.choice(("lbfgs", *STOCHASTIC) if hidden else LINEAR)
    linear_only = solver in ("newton-cholesky", "coordinate-descent")
    params = {
        "hidden_layer_sizes": hidden,
        "solver": solver,
        "alpha": draw.choice((1.0, 0.01, 30.0) if solver == "coordinate-descent" else (1.0, 0.01, 30.0, 0.0)),
        "loss": "cross_entropy" if linear_only else draw.choice(("cross_entropy", "cross_entropy", "squared_error")),
        "activation": draw.choice(("relu", "tanh", "logistic", "identity")),
        "max_iter": draw.choice((1, 5, 50)),
        "fit_intercept": draw.chance(0.8),
        "label_smoothing": draw.choice((0.0, 0.0, 0.1, 1.0)),
        "random_state": draw.randrange(5),
        "n_threads": draw.choice((None, 1, 2)),
        "warm_start": draw.chance(0.1),
    }
    if solver == "coordinate-descent":
        params["l1_ratio"] = draw.choice((0.0, 0.5, 1.0))
    if solver in STOCHASTIC:
        params |= {"max_iter": draw.choice((1, 3)), "batch_size": draw.choice(("auto", 1, 7, n))}
        params |= {"shuffle": draw.chance(0.7), "nesterovs_momentum": draw.chance(0.5)}
        params |= {"learning_rate": draw.choice(("constant", "invscaling", "adaptive"))}
    if not linear_only and solver != "auto":
        params["backward"] = draw.choice(("fused", "fused", "vjp", "jacobian"))
    if solver == "lbfgs" and not hidden and params["loss"] == "cross_entropy" and params["alpha"] and draw.chance(0.3):
        params |= {"l1_ratio": draw.choice((0.5, 1.0)), "backward": "fused"}
    if solver == "newton-cg":
        params["backward"] = "fused"
    if draw.chance(0.1):
        params["class_weight"] = "balanced"
    return params


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: Any) -> Any:
    if model.classes_.dtype.kind == "O":
        return pickled(model)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        model.save(path)
        return fs.SoftmaxClassifier.load(path)


def cloned(model: Any) -> Any:
    """A clone that is given the attributes."""
    other = clone(model)
    vars(other).update({name: value for name, value in vars(pickled(model)).items() if name.endswith("_")})
    vars(other)["_descent"], vars(other)["_unfinished"] = model._descent, model._unfinished
    return other


def trained(
    X: Any, y: Any, params: dict[str, Any], sample_weight: Any = None, *, steps: int, trip: Any, classes: Any
) -> tuple[Any, ...]:
    """Weights and predictions; a round trip, between the steps, too, must change no bit."""
    models = [fs.SoftmaxClassifier(**params), fs.SoftmaxClassifier(**params)]
    results = []
    for model, by_trip in zip(models, (False, True), strict=True):
        if steps:
            for step in range(steps):
                model.partial_fit(X, y, classes=classes if step == 0 else None, sample_weight=sample_weight)
                model = trip(model) if by_trip else model
        else:
            model.fit(X, y, sample_weight)
            model = trip(model) if by_trip else model
        best = model.predict(X)
        results.append(
            (
                *model.coefs_,
                *model.intercepts_,
                np.searchsorted(model.classes_, best),
                model.predict_proba(X),
                model.predict_log_proba(X),
                np.float64(model.loss_),
                np.int64(model.t_),
                np.asarray(model.classes_),
            )
        )
    for one, other in zip(*results, strict=True):
        if pickle.dumps(np.asarray(one).tolist()) != pickle.dumps(np.asarray(other).tolist()):
            raise AssertionError(f"{trip.__name__}: other bits, {one} and {other}")
    return results[0]


def check(result: Any, case: Case, X: np.ndarray, y: np.ndarray, weights: Any, stepwise: bool) -> str | None:
    """What is wrong with a trained model."""
    params = case.arguments["params"]
    *layers, best, probs, log_probs, loss, _, classes = result
    coefs, intercepts = layers[: len(layers) // 2], layers[len(layers) // 2 :]
    if not all(np.isfinite(a).all() for a in layers):
        return "weights that are not finite"
    n_classes = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
    if len(classes) != n_classes or probs.shape != (len(y), n_classes):
        return f"{len(classes)} classes, probabilities of shape {probs.shape}"
    compute = probs.dtype
    eps, tiny = np.finfo(compute).eps, np.finfo(compute).tiny
    values = np.asarray(X.sums if isinstance(X, Dense) else X).astype(compute).astype(LONG)
    logits = forward(values, coefs, intercepts, params["activation"], compute)
    exact = soft(logits.values, (1,), eps, tiny, error=logits.bound.max(axis=1, keepdims=True))
    for what, got, want in (("predict_proba", probs, exact.probs), ("predict_log_proba", log_probs, exact.log_probs)):
        off = np.abs(got.astype(LONG) - want.values) > want.bound + 8 * eps * np.abs(want.values)
        if (off & np.isfinite(want.bound)).any():
            return f"{what}: {got[off.any(axis=1)][0]}, not {want.values[off.any(axis=1)][0]}"
    if (probs[np.arange(len(y)), best] < probs.max(axis=1) * (1 - 16 * eps)).any():
        return "predict is not the most probable class"
    if params["solver"] in STOCHASTIC or stepwise:
        return None
    value, start = objective(logits.values, coefs, y, weights, params), None
    if params["hidden_layer_sizes"] == ():
        start = objective(np.zeros_like(logits.values), [0 * coef for coef in coefs], y, weights, params)
    off = 2 * logits.bound.max(initial=0)  # of a row's loss, where large logits cancel
    if abs(value - LONG(loss)) > 1e3 * eps * (1 + abs(value)) + off:
        return f"loss_ is {loss}, but the objective {value}"
    if start is not None and value > start + 1e3 * eps * (1 + abs(start)) + off:
        return f"the objective is {value}, above that of zeros, {start}"
    return None


def forward(X: np.ndarray, coefs: Any, intercepts: Any, activation: str, compute: np.dtype) -> Exact:
    """Logits of the network, with a bound (of a hidden layer a generous one)."""
    inputs = Exact(X, np.zeros(X.shape))
    functions = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "logistic": lambda z: 1 / (1 + np.exp(-z))}
    for k, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        weight, bias = coef.astype(LONG), intercept.astype(LONG)
        sizes = np.abs(inputs.values) + 16 * np.finfo(compute).eps
        product = matmul(inputs, weight, compute, sizes, np.abs(weight))
        values = product.values + bias
        bound = product.bound + 4 * np.finfo(compute).eps * (np.abs(bias) + np.abs(values))
        if k < len(coefs) - 1:
            values = functions.get(activation, lambda z: z)(values)
            bound = bound + 8 * np.finfo(compute).eps
        inputs = Exact(values, bound)
    if inputs.values.shape[1] == 1:
        return Exact(np.hstack([0 * inputs.values, inputs.values]), np.hstack([0 * inputs.bound, inputs.bound]))
    return inputs


def objective(logits: np.ndarray, coefs: Any, y: np.ndarray, weights: Any, params: dict[str, Any]) -> Any:
    """F in long doubles, without class weights."""
    n_classes = logits.shape[1]
    targets = y if y.ndim == 2 else np.eye(n_classes)[y]
    smoothing = params["label_smoothing"]
    targets = (1 - LONG(smoothing)) * targets + LONG(smoothing) / n_classes
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if params["loss"] == "cross_entropy":
        rows = -(targets * log_probs).sum(axis=1)
    else:
        rows = ((np.exp(log_probs) - targets) ** 2).sum(axis=1)
    by_row = np.ones(len(rows)) if weights is None else weights
    ratio = params.get("l1_ratio", 0.0)
    square = sum((coef.astype(LONG) ** 2).sum() for coef in coefs)
    size = sum(np.abs(coef.astype(LONG)).sum() for coef in coefs)
    penalty = params["alpha"] * ((1 - ratio) / 2 * square + ratio * size)
    return ((by_row * rows).sum() + penalty) / by_row.sum()
