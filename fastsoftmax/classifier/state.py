"""A fitted SoftmaxClassifier as numbers and plain arrays, for model_file.py, and back again.

Parameters travel as JSON: of a dict of class weights, keys and values in pairs. A random_state that is no integer stays
behind (None), because a RandomState cannot be told in JSON; a fitted classifier does not need it. So does `checkpoint`:
a file that somebody else has made must not name one that the next fit replaces.
"""

from collections.abc import Container, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.model_file import ModelFormatError
from fastsoftmax.classifier.options import dense_coefs
from fastsoftmax.classifier.unfinished import Unfinished, plain
from fastsoftmax.training.descent import DescentState

NUMBERS = (
    "n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_", "temperature_", "n_features_in_", "dual_gap_",
)  # fmt: skip
CURVES = ("loss_curve_", "validation_scores_")
LATER_CURVES = ("validation_loss_curve_",)  # which models saved earlier lack: None
State = tuple[dict[str, Any], dict[str, Array]]


def state_of(params: dict[str, Any], fitted: Mapping[str, Any]) -> State:
    """What makes a model of these parameters and attributes: a header, and arrays."""
    seed = params["random_state"] if isinstance(params.get("random_state"), int) else None
    given = _known(params, {**params, "random_state": seed, "checkpoint": None})
    arrays = {f"coefs_{k}": coef for k, coef in enumerate(dense_coefs(fitted["coefs_"]))}
    arrays |= {f"intercepts_{k}": intercept for k, intercept in enumerate(fitted["intercepts_"])}
    arrays["classes_"], text = _without_objects("classes_", fitted["classes_"])
    if "feature_names_in_" in fitted:
        arrays["feature_names_in_"] = fitted["feature_names_in_"].astype(np.str_)
    if fitted["_descent"] is not None:
        arrays |= {f"descent_{name}": array for name, array in fitted["_descent"]._asdict().items()}
    numbers = {name: _plain(fitted[name]) for name in NUMBERS}
    header = {"params": {name: _plain(value) for name, value in given.items()}, "text_objects": text, **numbers}
    if fitted.get("_unfinished") is not None:
        header["unfinished"], more = plain(fitted["_unfinished"])
        arrays |= {f"unfinished_{name}": array for name, array in more.items()}
    return {
        **header,
        **{name: fitted[name] for name in CURVES},
        **{name: fitted.get(name) for name in LATER_CURVES},
    }, arrays


def _known(names: Container[str], params: dict[str, Any]) -> dict[str, Any]:
    """Those of the parameters that have these names: a subclass may have fewer, or others."""
    return {name: value for name, value in params.items() if name in names}


def _plain(value: Any) -> Any:
    """For JSON."""
    if isinstance(value, dict):
        return {"pairs": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple, range)):
        return [_plain(item) for item in value]
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise TypeError(f"{value!r} cannot be saved: only numbers and text can")
    return value


def _without_objects(name: str, array: Array) -> tuple[Array, bool]:
    """The array in a dtype of its own, and whether it held str as objects."""
    if array.dtype.kind != "O":
        return array, False
    if not all(isinstance(item, str) for item in array):
        raise TypeError(f"{name} holds objects that are not str: only numbers and text can be saved")
    return array.astype(np.str_), True


def fitted_of(names: set[str], header: dict[str, Any], arrays: dict[str, Array]) -> tuple[dict[str, Any], ...]:
    """The parameters, which must have these names, and the attributes of a model; ModelFormatError if there is none."""
    try:
        return _read(names, header, dict(arrays))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFormatError(f"the file does not hold a SoftmaxClassifier: {error}") from None


def _read(names: set[str], header: dict[str, Any], arrays: dict[str, Array]) -> tuple[dict[str, Any], ...]:
    # files from before L1 and checkpoints lack these
    header = {"dual_gap_": None, **header}
    params = _known(names, {"l1_ratio": 0.0, "checkpoint_every": 10} | header["params"] | {"checkpoint": None})
    if set(params) != names or not header["params"].keys() <= names:
        raise ValueError("its parameters are those of another version or class")
    if isinstance(params.get("hidden_layer_sizes"), list):
        params["hidden_layer_sizes"] = tuple(params["hidden_layer_sizes"])
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = dict(params["class_weight"]["pairs"])
    fitted = {name: header[name] for name in (*NUMBERS, *CURVES)} | {name: header.get(name) for name in LATER_CURVES}
    if isinstance(fitted["n_iter_"], list):
        fitted["n_iter_"] = np.array(fitted["n_iter_"], np.int32)
    classes = arrays.pop("classes_")
    fitted["classes_"] = classes.astype(object) if header["text_objects"] else classes
    if "feature_names_in_" in arrays:
        fitted["feature_names_in_"] = arrays.pop("feature_names_in_").astype(object)
    n_layers = sum(name.startswith("coefs_") for name in arrays)
    fitted["coefs_"] = [arrays.pop(f"coefs_{k}") for k in range(n_layers)]
    fitted["intercepts_"] = [arrays.pop(f"intercepts_{k}") for k in range(n_layers)]
    fitted["n_layers_"], fitted["n_outputs_"] = n_layers + 1, len(fitted["intercepts_"][-1])
    fitted["_descent"] = None
    if "descent_moment" in arrays:
        fitted["_descent"] = DescentState(*[arrays.pop(f"descent_{name}") for name in DescentState._fields])
    fitted["_unfinished"] = None
    if "unfinished" in header:
        names_of_arrays = set(Unfinished._fields) - set(header["unfinished"])
        more: dict[str, Any] = {name: arrays.pop(f"unfinished_{name}") for name in names_of_arrays}
        fitted["_unfinished"] = Unfinished(**more, **header["unfinished"])
        fitted["_unfinished"].check(fitted["_descent"])
    if arrays:
        raise ValueError(f"it has an array {next(iter(arrays))!r}")
    _check_shapes(fitted)
    return params, fitted


def _check_shapes(fitted: dict[str, Any]) -> None:
    """Raise unless the arrays fit one another."""
    coefs, intercepts, classes, n_features = (
        fitted[name] for name in ("coefs_", "intercepts_", "classes_", "n_features_in_")
    )
    widths = [n_features, *(intercept.size for intercept in intercepts)]
    n_classes = len(classes)
    fits = [coef.shape for coef in coefs] == list(pairwise(widths))
    fits = fits and all(array.ndim == 1 for array in (classes, *intercepts))
    kinds = {array.dtype for array in (*coefs, *intercepts)}
    if not fits or widths[-1] != (1 if n_classes == 2 else n_classes) or n_classes < 2 or len(kinds) != 1:
        raise ValueError("its layers do not fit one another")
    if kinds.pop() not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError("its weights are not float32 or float64")
    names = fitted.get("feature_names_in_")
    if names is not None and names.shape != (n_features,):
        raise ValueError("its feature names do not fit its features")
    n_params = sum((n_in + 1) * n_out for n_in, n_out in zip(widths[:-1], [*widths[1:-1], n_classes], strict=True))
    descent = fitted["_descent"]
    if descent is not None and {len(descent.moment), len(descent.squares)} != {n_params}:
        raise ValueError("the state of its solver does not fit its layers")
