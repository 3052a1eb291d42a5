"""Three ways back through softmax, from logits that are there: they tell the models compared apart, by rounding too.

"fused" is loss and gradient in one kernel; "vjp" is dL/dp and then softmax_vjp, O(C) a row; "jacobian" dL/dp times the
Jacobian of each row, built, O(C^2).
"""

from collections.abc import Callable
from typing import Any

from fastsoftmax import functional, reference
from fastsoftmax._gate.arrays import Array

Options = dict[str, Any]
Function = Callable[..., Any]
# Of a loss by its name: value, value and gradient in the logits, and the same by the Jacobian
BY_LOGITS: dict[str, tuple[Function, Function, Function]] = {
    "cross_entropy": (
        functional.cross_entropy,
        functional.cross_entropy_value_and_grad,
        reference.cross_entropy_value_and_grad,
    ),
    "squared_error": (
        functional.squared_error,
        functional.squared_error_value_and_grad,
        reference.squared_error_value_and_grad,
    ),
}


def _jacobian(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp times the Jacobian of each row, built: (N, C, C)."""
    result: tuple[float, Array] = BY_LOGITS[loss][2](logits, targets, reduction="sum", **options)
    return result


def _vjp(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp, then softmax_vjp: O(C) a row."""
    probs = functional.softmax(logits)
    grad_probs = reference.grad_probs(loss, probs, targets, reduction="sum", **options)
    value: float = BY_LOGITS[loss][0](logits, targets, reduction="sum", **options)
    return value, functional.softmax_vjp(probs, grad_probs)


def _fused(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """Loss and dL/dlogits in one kernel (of a whole network: with everything else, see Objective)."""
    result: tuple[float, Array] = BY_LOGITS[loss][1](logits, targets, reduction="sum", **options)
    return result


# The sum of the losses and its gradient in the logits
BACKWARD: dict[str, Callable[[str, Array, Array, Options], tuple[float, Array]]] = {
    "jacobian": _jacobian,
    "vjp": _vjp,
    "fused": _fused,
}
