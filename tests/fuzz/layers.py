"""The dense layer, its gradients, and its softmax and losses in one pass over X."""

from typing import Any

import numpy as np

import fastsoftmax as fs

from .arrays import Draw, float_dtype, values_of
from .cases import Case
from .losses import reduced, row_losses, weighed
from .maps import add_any_out, add_temperature
from .oracles import LONG, Exact, long, mismatch, soft
from .samples import MODERATE, Layer, matmul, unjudged_if_not_finite
from .targets import Targets, add_options


def forward_case(draw: Draw, name: str) -> Case:
    """dense, linear_softmax or linear_log_softmax."""
    case = Case(draw, name)
    layer = Layer(case)
    if case.faults:
        return case
    temperature = add_temperature(case, layer.compute) if name != "dense" else 1.0
    n, _, c = layer.shape
    add_any_out(case, (n, c), layer.dtype, "X", "weight")
    if case.faults:
        return case
    exact = layer.logits
    if name != "dense":
        limits = np.finfo(layer.compute)
        error = exact.bound.max(axis=1, keepdims=True, initial=0)
        parts = soft(exact.values, (1,), limits.eps, limits.tiny, temperature, error=error)
        exact = parts.probs if name == "linear_softmax" else parts.log_probs
        near = error / LONG(temperature) < 20  # else nothing is known of the result
        exact = Exact(exact.values, np.where(near, exact.bound, np.inf))
    case.check = lambda result: mismatch("result", result, exact, layer.dtype)
    return case


def argmax_case(draw: Draw, name: str) -> Case:
    """linear_argmax: a class whose logit is the largest, within what logits may be off."""
    case = Case(draw, name)
    layer = Layer(case)
    n, _, c = layer.shape
    if not c:
        case.faults.add("weight")

    def check(result: Any) -> str | None:
        if result.shape != (n,) or result.dtype != np.int64:
            return f"shape {result.shape}, dtype {result.dtype}"
        if not n:
            return None
        if result.min() < 0 or result.max() >= c:
            return "not a class"
        z = layer.logits
        chosen = np.take_along_axis(z.values + z.bound, result[:, None], axis=1)
        known = np.isfinite(z.bound).all(axis=1)
        low = chosen[:, 0] < (z.values - z.bound).max(axis=1)
        return "not the largest logit" if (low & known).any() else None

    case.check = check
    return case


def add_grads_out(case: Case, layer: Layer, with_grad_X: bool, has_bias: bool) -> None:
    """Sometimes a LinearGrads for the gradients."""
    draw = case.draw
    if draw.chance(0.6):
        return
    n, d, c = layer.shape
    shapes = {"weight": (c, d), "bias": (c,), "X": (n, d)}
    wanted = [True, has_bias, with_grad_X]
    arrays = [
        case.add_out(f"out.{name}", shape, layer.dtype) if given and draw.chance(0.7) else None
        for (name, shape), given in zip(shapes.items(), wanted, strict=True)
    ]
    if draw.chance(0.03):
        case.option("out", draw.choice((tuple(arrays), 1.0, np.zeros((c, d), layer.dtype))), bad=True)
    elif draw.chance(0.03) and not with_grad_X:
        case.option("out", fs.LinearGrads(arrays[0], arrays[1], np.zeros((n, d), layer.dtype)), bad=True)
    else:
        case.option("out", fs.LinearGrads(*arrays))


def grads_of(layer: Layer, grad: Exact) -> tuple[Exact, Exact, Exact]:
    """Gradients in weight, bias and X from that in the logits."""
    flipped, ones = Exact(grad.values.T, grad.bound.T), np.ones((len(grad.values), 1), LONG)
    sizes = np.abs(flipped.values)
    bias = matmul(flipped, ones, layer.compute, sizes, ones)
    in_weight = matmul(flipped, layer.X, layer.compute, sizes, layer.X_sizes)
    in_X = matmul(grad, layer.weight, layer.compute, sizes.T, np.abs(layer.weight))
    return in_weight, Exact(bias.values[:, 0], bias.bound[:, 0]), in_X


def grads_mismatch(result: Any, exact: tuple[Exact, Exact, Exact], wanted: list[bool], dtype: np.dtype) -> str | None:
    """What is wrong with a LinearGrads."""
    for name, got, want, given in zip(("weight", "bias", "X"), result, exact, wanted, strict=True):
        if (got is not None) != given:
            return f"grads.{name} is {type(got).__name__}"
        if given and (wrong := mismatch(f"grads.{name}", got, want, dtype)):
            return wrong
    return None


def vjp_case(draw: Draw, name: str) -> Case:
    """dense_vjp."""
    case = Case(draw, name)
    layer = Layer(case, with_bias=False)
    n, _, c = layer.shape
    given = case.add(
        "cotangent", values_of(draw, (n, c) if draw.chance(0.97) else (n, c, 1), float_dtype(draw), MODERATE)
    )
    if given.shape != (n, c):
        case.faults.add("cotangent")
    if case.faults:
        return case
    layer.computed_with(given)
    with_grad_X = draw.chance(0.7)
    case.option("with_grad_X", with_grad_X)
    add_grads_out(case, layer, with_grad_X, True)
    values = long(given, layer.compute)
    exact = grads_of(layer, unjudged_if_not_finite(Exact(values, np.zeros(values.shape)), layer.compute))

    def check(result: Any) -> str | None:
        in_X, in_weight, in_bias = result
        return grads_mismatch((in_weight, in_bias, in_X), exact, [True, True, with_grad_X], layer.dtype)

    case.check = check
    return case


def linear_loss_case(draw: Draw, name: str) -> Case:
    """A loss on the softmax of a layer, without or with its gradients."""
    case, kind = Case(draw, name), name.removeprefix("linear_").removesuffix("_value_and_grad")
    layer = Layer(case)
    n, _, c = layer.shape
    compute = layer.compute if not case.faults else np.dtype(np.float64)
    given = add_options(case, (n, c), compute, by_rows=kind == "squared_error")
    with_grad, with_grad_X = not name.endswith(kind), draw.chance(0.3)
    if with_grad and not case.faults:
        case.option("with_grad_X", with_grad_X)
        add_grads_out(case, layer, with_grad_X, layer.has_bias)
    if case.faults or given is None or case.either:
        return case
    loss, grad = judged_losses(kind, layer, given)
    exact = grads_of(layer, grad)

    def check(result: Any) -> str | None:
        wrong = mismatch("loss", result[0] if with_grad else result, loss, layer.dtype)
        if wrong or not with_grad:
            return wrong
        return grads_mismatch(result[1], exact, [True, layer.has_bias, with_grad_X], layer.dtype)

    case.check = check
    return case


def judged_losses(kind: str, layer: Layer, given: Targets) -> tuple[Exact, Exact]:
    """The loss, and the gradient in the logits; rows of which nothing is known are not judged."""
    error = layer.logits.bound.max(axis=1, keepdims=True, initial=0)
    known = error[:, 0] < 20
    loss, grad = row_losses(kind, layer.logits.values, given, layer.compute, np.where(known[:, None], error, 0))
    if kind == "squared_error":  # second-order terms of the logits' errors
        known &= error[:, 0] < 1
    loss = Exact(np.where(known, loss.values, 0), np.where(known, loss.bound, np.inf))
    grad = Exact(np.where(known[:, None], grad.values, 0), np.where(known[:, None], grad.bound, np.inf))
    loss = reduced(loss, given, layer.compute)
    grad = weighed(grad, given, layer.compute, scaled=True)
    return loss, unjudged_if_not_finite(grad, layer.compute)


def hvp_case(draw: Draw, name: str) -> Case:
    """H v, with and without probabilities at hand."""
    case, kind = Case(draw, name), name.removeprefix("linear_").removesuffix("_hvp")
    layer = Layer(case)
    n, d, c = layer.shape
    tangents = case.add("weight_tangent", values_of(draw, (c, d), float_dtype(draw), MODERATE)), np.zeros(c)
    case.option("bias_tangent", None)
    more = [tangents[0]]
    if layer.has_bias and draw.chance(0.7):
        tangents = tangents[0], case.add("bias_tangent", values_of(draw, (c,), float_dtype(draw), MODERATE))
        more.append(tangents[1])
    if tangents[0].shape != (c, d) or tangents[1].shape != (c,):
        case.faults |= {"weight_tangent", "bias_tangent"}
    compute = layer.compute if not case.faults else np.dtype(np.float64)
    given = add_options(case, (n, c), compute, by_rows=kind == "squared_error")
    if case.faults or given is None or case.either:
        return case
    add_grads_out(case, layer, False, layer.has_bias)
    if case.faults or case.either:
        return case
    moved = hvp_in_logits(kind, layer, given, tangents)
    exact = grads_of(layer, moved)
    case.check = lambda result: grads_mismatch(result, exact, [True, layer.has_bias, False], layer.dtype)
    return case


def hvp_in_logits(kind: str, layer: Layer, given: Targets, tangents: tuple[np.ndarray, np.ndarray]) -> Exact:
    """Each row's Hessian in its logits times the tangent of its logits, weighed; one bound for a row."""
    limits = np.finfo(layer.compute)
    u = layer.forward(*(long(tangent, layer.compute) for tangent in tangents))
    error = layer.logits.bound.max(axis=1, keepdims=True, initial=0)
    p = soft(layer.logits.values, (1,), limits.eps, limits.tiny).probs.values
    q = p * (u.values - (p * u.values).sum(axis=1, keepdims=True))
    size = np.abs(given.t).sum(axis=1, keepdims=True) + 1
    if kind == "cross_entropy":
        moved = given.t.sum(axis=1, keepdims=True) * q
    else:
        d = p - given.t
        along = (d * p).sum(axis=1, keepdims=True)
        moved = 2 * q * (d - along) + 2 * p * (q - (q * (d + p)).sum(axis=1, keepdims=True))
    most = np.abs(u.values).max(axis=1, keepdims=True, initial=0)
    relative = 32 * (limits.eps * (16 + given.t.shape[1]) + np.expm1(np.minimum(4 * error, 50)))
    far = np.abs(layer.logits.values).max(axis=1, keepdims=True, initial=0) * limits.eps
    bound = size * (most * (relative + 8 * far) + 8 * u.bound.max(axis=1, keepdims=True, initial=0)) + limits.tiny
    bound = np.where((error < 1) & np.isfinite(given.t).all(axis=1, keepdims=True), bound, np.inf)
    moved = unjudged_if_not_finite(Exact(moved, np.broadcast_to(bound, moved.shape)), layer.compute)
    return unjudged_if_not_finite(weighed(moved, given, layer.compute, scaled=True), layer.compute)
