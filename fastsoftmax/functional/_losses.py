"""The losses on softmax: a row of a table each, with the kernels that compute it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastsoftmax import kernels
from fastsoftmax.kernels.jit.whole_calls import WholeCall
from fastsoftmax.kernels.rows import direct

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes
    ----------
    name : as users write it
    weighs_rows : whether the weight of a class weighs the rows of that class, and not its share of a target
    rows : loss and gradient in the logits
    direct, direct_with_grad : (mean loss, losses or gradient) for plain arrays and labels
    linear_rows, linear_hvp_rows : of a dense layer with the loss on top, in one pass
    linear_iteration : of L-BFGS, on such a layer
    network_rows, network_epoch : of a network of dense layers
    """

    name: str
    weighs_rows: bool
    rows: Kernel
    direct: WholeCall
    direct_with_grad: WholeCall
    linear_rows: Kernel
    linear_hvp_rows: Kernel
    linear_iteration: Kernel
    network_rows: Kernel
    network_epoch: Kernel


CROSS_ENTROPY = Loss(
    "cross_entropy",
    weighs_rows=False,
    rows=kernels.cross_entropy_rows,
    direct=direct.cross_entropy,
    direct_with_grad=direct.cross_entropy_value_and_grad,
    linear_rows=kernels.linear_cross_entropy_rows,
    linear_hvp_rows=kernels.linear_cross_entropy_hvp_rows,
    linear_iteration=kernels.linear_cross_entropy_iteration,
    network_rows=kernels.network_cross_entropy_rows,
    network_epoch=kernels.network_cross_entropy_epoch,
)
SQUARED_ERROR = Loss(
    "squared_error",
    weighs_rows=True,
    rows=kernels.squared_error_rows,
    direct=direct.squared_error,
    direct_with_grad=direct.squared_error_value_and_grad,
    linear_rows=kernels.linear_squared_error_rows,
    linear_hvp_rows=kernels.linear_squared_error_hvp_rows,
    linear_iteration=kernels.linear_squared_error_iteration,
    network_rows=kernels.network_squared_error_rows,
    network_epoch=kernels.network_squared_error_epoch,
)
LOSSES = {loss.name: loss for loss in (CROSS_ENTROPY, SQUARED_ERROR)}
