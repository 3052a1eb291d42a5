"""A fitted classifier as an ONNX model, for ONNX Runtime and whatever else reads ONNX."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastsoftmax._gate.arrays import Array
from fastsoftmax._version import __version__
from fastsoftmax.classifier.fitted import FittedClassifier
from fastsoftmax.classifier.options import dense_coefs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# The operators used here mean the same from opset 13 (Relu: 14) on. ONNX Runtime reads 17 from its version 1.12 on, and
# may refuse the newest that the installed onnx knows
OPSET, IR_VERSION = 17, 8
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


def to_onnx(model: Any) -> "ModelProto":
    """Translate a fitted classifier to ONNX.

    Its input is `X`, (n_samples, n_features) of the dtype of the weights, with any number of samples. Its outputs are
    called as sklearn-onnx calls those of a classifier without ZipMap: `label` (n_samples,), of text, int64, bool or
    float64 as classes_ is, and `probabilities` (n_samples, n_classes), divided by temperature_ as in predict_proba. In
    the metadata, `classes` and `feature_names` (if the fit knew them) are lists in JSON.

    Parameters
    ----------
    model : SoftmaxClassifier
        Linear or with hidden layers; or SoftmaxClassifierCV or another search, whose best_estimator_ is taken.
        Coefficients that are sparse after `sparsify` are written as dense ones.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    NotFittedError
    TypeError
        Another estimator; classes that are neither numbers nor text.
    ImportError
        The package onnx is not installed.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> model = fs.SoftmaxClassifier().fit([[0.0], [1.0]], ["a", "b"])
    >>> exported = fs.to_onnx(model)  # doctest: +SKIP
    >>> [output.name for output in exported.graph.output]  # doctest: +SKIP
    ['label', 'probabilities']
    """
    model = getattr(model, "best_estimator_", model)
    if not isinstance(model, FittedClassifier):
        raise TypeError(f"to_onnx takes a SoftmaxClassifier, got {type(model).__name__}")
    check_is_fitted(model, "coefs_")
    classes = _plain_classes(model.classes_)
    try:
        from onnx import checker, helper
    except ImportError:
        raise ImportError("to_onnx needs the package onnx: pip install onnx") from None
    weights = _weights(model)
    kind = helper.np_dtype_to_tensor_dtype(weights["weight_0"].dtype)
    kind_of_label = helper.np_dtype_to_tensor_dtype(classes.dtype)
    graph = helper.make_graph(
        _nodes(model),
        type(model).__name__,
        [helper.make_tensor_value_info("X", kind, ["n_samples", model.n_features_in_])],
        [
            helper.make_tensor_value_info("label", kind_of_label, ["n_samples"]),
            helper.make_tensor_value_info("probabilities", kind, ["n_samples", len(classes)]),
        ],
        [_tensor(name, array) for name, array in {**weights, "classes": classes}.items()],
    )
    translated = helper.make_model(
        graph,
        producer_name="fastsoftmax",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    properties = {"classes": json.dumps(classes.tolist())}
    if hasattr(model, "feature_names_in_"):
        properties["feature_names"] = json.dumps([str(name) for name in model.feature_names_in_])
    helper.set_model_props(translated, properties)
    checker.check_model(translated)
    return translated


def _plain_classes(classes: Array) -> Array:
    """Text as objects, which is how the package onnx has it, and numbers in a dtype that ONNX Runtime gathers."""
    kind = classes.dtype.kind
    if kind == "U" or (kind == "O" and all(isinstance(label, str) for label in classes)):
        return classes.astype(object)
    if kind == "u" and classes.max() > np.iinfo(np.int64).max:
        raise TypeError(f"classes_ must fit int64 in ONNX, got {classes.max()}")
    if kind in "iubf":
        return classes.astype({"b": np.bool_, "f": np.float64}.get(kind, np.int64))
    raise TypeError(f"classes_ must be numbers or text to go to ONNX, got {classes.dtype}")


def _weights(model: FittedClassifier) -> dict[str, Array]:
    """Constants by their names. Of two classes the first gets weights and bias 0, so that its logit is 0."""
    coefs, intercepts = dense_coefs(model.coefs_), list(model.intercepts_)
    if model.n_outputs_ == 1:
        coefs[-1] = np.hstack([np.zeros_like(coefs[-1]), coefs[-1]])
        intercepts[-1] = np.hstack([np.zeros_like(intercepts[-1]), intercepts[-1]])
    weights = {f"weight_{k}": coef for k, coef in enumerate(coefs)}
    weights |= {f"bias_{k}": intercept for k, intercept in enumerate(intercepts)}
    if model.temperature_ != 1:
        weights["temperature"] = np.array(model.temperature_, coefs[0].dtype)
    return weights


def _nodes(model: FittedClassifier) -> list["NodeProto"]:
    """From X to label and probabilities."""
    from onnx.helper import make_node

    nodes, last, given = [], len(model.coefs_) - 1, "X"
    for k in range(last):
        nodes.append(make_node("Gemm", [given, f"weight_{k}", f"bias_{k}"], [f"z_{k}"]))
        given = f"a_{k}"
        nodes.append(make_node(OPERATORS[model.activation], [f"z_{k}"], [given]))
    nodes.append(make_node("Gemm", [given, f"weight_{last}", f"bias_{last}"], ["logits"]))
    nodes.append(make_node("ArgMax", ["logits"], ["position"], axis=1, keepdims=0))
    nodes.append(make_node("Gather", ["classes", "position"], ["label"], axis=0))
    scaled = "logits"
    if model.temperature_ != 1:  # the largest logit is taken off first: a temperature may be as small as the dtype has
        scaled = "scaled"
        nodes.append(make_node("ReduceMax", ["logits"], ["largest"], axes=[1], keepdims=1))
        nodes.append(make_node("Sub", ["logits", "largest"], ["below_largest"]))
        nodes.append(make_node("Div", ["below_largest", "temperature"], [scaled]))
    nodes.append(make_node("Softmax", [scaled], ["probabilities"], axis=1))
    return nodes


def _tensor(name: str, array: Array) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    if array.dtype.kind == "O":
        text = [label.encode() for label in array]
        return helper.make_tensor(name, TensorProto.STRING, array.shape, text)
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
