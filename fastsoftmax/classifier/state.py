"""A fitted SoftmaxClassifier as numbers and plain arrays, for model_file.py, and back again.

Parameters travel as JSON: of a dict of class weights, keys and values in pairs. A random_state that is no integer stays
behind (None), because a RandomState cannot be told in JSON; a fitted classifier does not need it.
"""

import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.model_file import ModelFormatError
from fastsoftmax.classifier.options import dense_coefs
from fastsoftmax.training.descent import DescentState

if TYPE_CHECKING:
    from fastsoftmax.classifier.estimator import SoftmaxClassifier

NUMBERS = ("n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_", "temperature_", "n_features_in_")
CURVES = ("loss_curve_", "validation_scores_")
State = tuple[dict[str, Any], dict[str, Array]]


def state_of(model: "SoftmaxClassifier") -> State:
    """What makes the model: a header, and arrays."""
    given = model.get_params(deep=False)
    given["random_state"] = given["random_state"] if isinstance(given["random_state"], int) else None
    params = {name: _plain(value) for name, value in given.items()}
    arrays = {f"coefs_{k}": coef for k, coef in enumerate(dense_coefs(model))}
    arrays |= {f"intercepts_{k}": intercept for k, intercept in enumerate(model.intercepts_)}
    arrays["classes_"], text = _without_objects("classes_", model.classes_)
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names_in_"] = model.feature_names_in_.astype(np.str_)
    if model._descent is not None:
        arrays |= {f"descent_{name}": array for name, array in model._descent._asdict().items()}
    header = {"params": params, "text_objects": text, **{name: _plain(getattr(model, name)) for name in NUMBERS}}
    return {**header, **{name: getattr(model, name) for name in CURVES}}, arrays


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


def model_of(kind: "type[SoftmaxClassifier]", header: dict[str, Any], arrays: dict[str, Array]) -> "SoftmaxClassifier":
    """The model that a state makes; a ModelFormatError where it makes none."""
    try:
        return _build(kind, header, dict(arrays))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFormatError(f"the file does not hold a SoftmaxClassifier: {error}") from None


def _build(kind: "type[SoftmaxClassifier]", header: dict[str, Any], arrays: dict[str, Array]) -> "SoftmaxClassifier":
    params = header["params"]
    if set(params) != set(inspect.signature(kind).parameters):
        raise ValueError("its parameters are those of another version")
    if isinstance(params["hidden_layer_sizes"], list):
        params["hidden_layer_sizes"] = tuple(params["hidden_layer_sizes"])
    if isinstance(params["class_weight"], dict):
        params["class_weight"] = dict(params["class_weight"]["pairs"])
    model = kind(**params)
    for name in (*NUMBERS, *CURVES):
        setattr(model, name, header[name])
    if isinstance(model.n_iter_, list):
        model.n_iter_ = np.array(model.n_iter_, np.int32)
    classes = arrays.pop("classes_")
    model.classes_ = classes.astype(object) if header["text_objects"] else classes
    if "feature_names_in_" in arrays:
        model.feature_names_in_ = arrays.pop("feature_names_in_").astype(object)
    n_layers = sum(name.startswith("coefs_") for name in arrays)
    model.coefs_ = [arrays.pop(f"coefs_{k}") for k in range(n_layers)]
    model.intercepts_ = [arrays.pop(f"intercepts_{k}") for k in range(n_layers)]
    model.n_layers_, model.n_outputs_ = n_layers + 1, len(model.intercepts_[-1])
    model._descent = None
    if "descent_moment" in arrays:
        model._descent = DescentState(*[arrays.pop(f"descent_{name}") for name in DescentState._fields])
    if arrays:
        raise ValueError(f"it has an array {next(iter(arrays))!r}")
    _check_shapes(model)
    return model


def _check_shapes(model: "SoftmaxClassifier") -> None:
    """Raise unless the arrays fit one another."""
    widths = [model.n_features_in_, *(intercept.size for intercept in model.intercepts_)]
    n_classes = len(model.classes_)
    fits = [coef.shape for coef in model.coefs_] == list(pairwise(widths))
    fits = fits and all(array.ndim == 1 for array in (model.classes_, *model.intercepts_))
    kinds = {array.dtype for array in (*model.coefs_, *model.intercepts_)}
    if not fits or widths[-1] != (1 if n_classes == 2 else n_classes) or n_classes < 2 or len(kinds) != 1:
        raise ValueError("its layers do not fit one another")
    if kinds.pop() not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError("its weights are not float32 or float64")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and names.shape != (model.n_features_in_,):
        raise ValueError("its feature names do not fit its features")
    n_params = sum((n_in + 1) * n_out for n_in, n_out in zip(widths[:-1], [*widths[1:-1], n_classes], strict=True))
    if model._descent is not None and {len(model._descent.moment), len(model._descent.squares)} != {n_params}:
        raise ValueError("the state of its solver does not fit its layers")
