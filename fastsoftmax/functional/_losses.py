"""The losses on softmax: a row of a table each, with the kernels that compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastsoftmax import kernels
from fastsoftmax.kernels.jit.whole_calls import WholeCall
from fastsoftmax.kernels.layer import losses as layer_losses
from fastsoftmax.kernels.rows import direct

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes
    ----------
    name : as users write it
    number : as the kernels of kernels/layer are told
    weighs_rows : whether the weight of a class weighs the rows of that class, and not its share of a target
    rows : loss and gradient in the logits
    direct, direct_with_grad : (mean loss, losses or gradient) for plain arrays and labels
    """

    name: str
    number: int
    weighs_rows: bool
    rows: Kernel
    direct: WholeCall
    direct_with_grad: WholeCall


CROSS_ENTROPY = Loss(
    "cross_entropy",
    number=layer_losses.CROSS_ENTROPY,
    weighs_rows=False,
    rows=kernels.cross_entropy_rows,
    direct=direct.cross_entropy,
    direct_with_grad=direct.cross_entropy_value_and_grad,
)
SQUARED_ERROR = Loss(
    "squared_error",
    number=layer_losses.SQUARED_ERROR,
    weighs_rows=True,
    rows=kernels.squared_error_rows,
    direct=direct.squared_error,
    direct_with_grad=direct.squared_error_value_and_grad,
)
LOSSES = {loss.name: loss for loss in (CROSS_ENTROPY, SQUARED_ERROR)}
