"""The loss on the logits of a block of rows: which one is a number, so that what leads there is compiled once for both.

Shapes: z (n, C), the logits of rows from `first` on; targets and weights as in rows/losses.py.
"""

from fastsoftmax.kernels.jit import inlined
from fastsoftmax.kernels.jit.deferred import call_later
from fastsoftmax.kernels.rows.hessians import cross_entropy_hvp_rows, squared_error_hvp_rows
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.targets import targets_of_rows, weights_of
from fastsoftmax.kernels.views import part

CROSS_ENTROPY, SQUARED_ERROR = range(2)


@inlined
def loss_of_block(first, z, loss, labels, distribution, sample_weight, class_weight, smoothing, scale, losses):
    # what rows lose, into losses (N,); dloss/dz times scale takes the place of z
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights, out = weights_of(sample_weight, first, len(z)), part(losses, first, len(z))
    given = (z, some, soft, weights, class_weight, smoothing, scale, out, z, 0)
    if loss == CROSS_ENTROPY:
        call_later(cross_entropy_rows, given)
    else:
        call_later(squared_error_rows, given)


@inlined
def hvp_of_block(first, z, p, loss, labels, distribution, sample_weight, class_weight, smoothing, scale):
    # z is a tangent: scale H_z z takes its place, with H_z at the probabilities p (n, C)
    some, soft = targets_of_rows(labels, distribution, first, len(z))
    weights = weights_of(sample_weight, first, len(z))
    given = (p, z, some, soft, weights, class_weight, smoothing, scale, z)
    if loss == CROSS_ENTROPY:
        call_later(cross_entropy_hvp_rows, given)
    else:
        call_later(squared_error_hvp_rows, given)
