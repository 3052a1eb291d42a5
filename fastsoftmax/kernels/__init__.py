"""The compiled loops. They take C-contiguous arrays of one dtype, protect you from nothing, and can be called
from your own @njit code; `fastsoftmax.softmax` and the others check their arguments and then call these. `team` is the
address of the board of a team of threads (board.py), or 0: alone.

>>> import numba, numpy as np
>>> from fastsoftmax.kernels import softmax_rows
>>> @numba.njit
... def warm(logits):
...     probs = np.empty_like(logits)
...     softmax_rows(logits, 2.0, probs, 0)  # temperature 2
...     return probs
>>> warm(np.array([[0.0, 2.0]])).round(4)
array([[0.2689, 0.7311]])
"""

from fastsoftmax.kernels.fit.by_class import softmax_by_class
from fastsoftmax.kernels.fit.coordinate_descent import (
    add_columns,
    column_squares,
    column_sums,
    csc_add_columns,
    csc_column_squares,
    csc_column_sums,
    csc_sweep,
    hessian_sweep,
    memory_sweep,
    sweep,
)
from fastsoftmax.kernels.fit.coordinates import (
    coordinates_grad_of,
    coordinates_of,
    csr_feature_squares,
    csr_feature_sums,
    feature_squares,
    feature_sums,
    params_of,
)
from fastsoftmax.kernels.fit.lbfgs import lbfgs_direction, move_memory, remember_pair
from fastsoftmax.kernels.fit.line_search import begin_search, next_trial
from fastsoftmax.kernels.fit.optimizers import descend, shuffle
from fastsoftmax.kernels.fit.vectors import add_multiple, conjugate_step, vector_product
from fastsoftmax.kernels.layer.activations import activate, times_slope
from fastsoftmax.kernels.layer.column_hessian import hessian_of_columns, scaled_columns
from fastsoftmax.kernels.layer.epoch import network_loss_epoch
from fastsoftmax.kernels.layer.hessian import linear_cross_entropy_hessian_rows
from fastsoftmax.kernels.layer.inference import linear_argmax_rows, linear_log_softmax_rows, linear_softmax_rows
from fastsoftmax.kernels.layer.iteration import linear_loss_iteration
from fastsoftmax.kernels.layer.linear import (
    dense_rows,
    dense_vjp_rows,
    linear_loss_hvp_rows,
    linear_loss_rows,
)
from fastsoftmax.kernels.layer.network import network_loss_rows, penalise
from fastsoftmax.kernels.layer.sparse import range_and_order
from fastsoftmax.kernels.rows.column_jacobians import (
    log_softmax_jvp_columns,
    log_softmax_vjp_columns,
    softmax_jvp_columns,
    softmax_vjp_columns,
)
from fastsoftmax.kernels.rows.columns import log_softmax_columns, logsumexp_columns, softmax_columns
from fastsoftmax.kernels.rows.finite import all_finite
from fastsoftmax.kernels.rows.half_rows import half_map_rows, half_product_rows
from fastsoftmax.kernels.rows.halves import narrow, widen
from fastsoftmax.kernels.rows.hessians import cross_entropy_hvp_rows, softmax_grad_hess_rows, squared_error_hvp_rows
from fastsoftmax.kernels.rows.jacobians import (
    log_softmax_jvp_rows,
    log_softmax_vjp_rows,
    softmax_jvp_rows,
    softmax_vjp_rows,
)
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.masks import hide
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, logsumexp_rows, softmax_rows
from fastsoftmax.kernels.rows.targets import first_bad_label, weight_taking_part
from fastsoftmax.kernels.rows.vecmath import sum_row

__all__ = [
    "activate",
    "add_columns",
    "add_multiple",
    "all_finite",
    "begin_search",
    "column_squares",
    "column_sums",
    "conjugate_step",
    "coordinates_grad_of",
    "coordinates_of",
    "cross_entropy_hvp_rows",
    "cross_entropy_rows",
    "csc_add_columns",
    "csc_column_squares",
    "csc_column_sums",
    "csc_sweep",
    "csr_feature_squares",
    "csr_feature_sums",
    "dense_rows",
    "dense_vjp_rows",
    "descend",
    "feature_squares",
    "feature_sums",
    "first_bad_label",
    "half_map_rows",
    "half_product_rows",
    "hessian_of_columns",
    "hessian_sweep",
    "hide",
    "lbfgs_direction",
    "linear_argmax_rows",
    "linear_cross_entropy_hessian_rows",
    "linear_log_softmax_rows",
    "linear_loss_hvp_rows",
    "linear_loss_iteration",
    "linear_loss_rows",
    "linear_softmax_rows",
    "log_softmax_columns",
    "log_softmax_jvp_columns",
    "log_softmax_jvp_rows",
    "log_softmax_rows",
    "log_softmax_vjp_columns",
    "log_softmax_vjp_rows",
    "logsumexp_columns",
    "logsumexp_rows",
    "memory_sweep",
    "move_memory",
    "narrow",
    "network_loss_epoch",
    "network_loss_rows",
    "next_trial",
    "params_of",
    "penalise",
    "range_and_order",
    "remember_pair",
    "scaled_columns",
    "shuffle",
    "softmax_by_class",
    "softmax_columns",
    "softmax_grad_hess_rows",
    "softmax_jvp_columns",
    "softmax_jvp_rows",
    "softmax_rows",
    "softmax_vjp_columns",
    "softmax_vjp_rows",
    "squared_error_hvp_rows",
    "squared_error_rows",
    "sum_row",
    "sweep",
    "times_slope",
    "vector_product",
    "weight_taking_part",
    "widen",
]
