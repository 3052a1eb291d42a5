"""An iteration of L-BFGS on a linear model's loss, in one call: of small data the calls took half of a fit's time.

Shapes: params, trial, the direction and gradients (P,), P = C (D + 1); the latter two are in coordinates u, as
fit/coordinates.py has them; X, targets and weights as in linear.py. The objective is F = 1/total sum_n loss_n + the
penalty of network.py.
"""

from fastsoftmax.kernels.fit.coordinates import coordinates_grad_of, params_of
from fastsoftmax.kernels.fit.lbfgs import lbfgs_direction, remember_pair
from fastsoftmax.kernels.fit.line_search import FOUND, STEP, TRY, begin_search, next_trial
from fastsoftmax.kernels.fit.vectors import add_multiple, vector_product
from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.layer.dense import copy_to
from fastsoftmax.kernels.layer.linear import linear_loss_rows
from fastsoftmax.kernels.layer.network import penalise
from fastsoftmax.kernels.rows.vecmath import sum_row
from fastsoftmax.kernels.threads import SMALL
from fastsoftmax.kernels.views import matrix, part


@kernel
def linear_loss_iteration(
    loss, X, targets, losses, total, coordinates, sizes, penalty, search, params, trial, value, noise, grad, memory,
    ring, products, by_grad, team,
):  # fmt: skip
    # From params, where F is `value` and dF/du is grad, one step down: both change. memory, products, by_grad: see
    # fit/lbfgs.py; ring: place for a new pair, how many there are, how many there will be.
    # -> the step along the direction and F there; 0 if none goes down, and nothing has changed
    objective = loss, X, targets, losses, total, coordinates, sizes, penalty
    place, n_pairs, n_pairs_after = ring
    m, few = memory.shape[0] // 2, team if params.size >= SMALL else 0
    slope, first = lbfgs_direction(memory, (place - 1) % m, n_pairs, grad, products, by_grad, place, few)
    if not slope < 0.0:
        return 0.0, value
    direction, grad_there = part(memory, place * grad.size, grad.size), part(memory, (m + place) * grad.size, grad.size)
    begin_search(search, value, slope, first, noise)
    verdict = TRY
    while verdict == TRY:
        value = _evaluate(objective, params, direction, search[STEP], trial, grad_there, team, few)
        verdict = next_trial(search, value, vector_product(grad_there, direction, few))
    if verdict != FOUND:
        return 0.0, value
    copy_to(params, trial, 0)
    remember_pair(memory, place, n_pairs_after, search[STEP], grad, products, by_grad, few)
    return search[STEP], value


@inlined
def _evaluate(objective, start, direction, step, params, grad, team, few):
    # params = start + step * what the direction is in the parameters; grad: dF/du there. -> F there
    loss, X, targets, losses, total, (scale, mean, bias_scale), sizes, penalty = objective
    labels, distribution, sample_weight, class_weight, smoothing = targets
    params_of(direction, scale, mean, bias_scale, params, few)
    add_multiple(start, step, params, params, few)
    n_features, n_classes = sizes[0], sizes[1]
    biases = n_features * n_classes
    weight, by_weight = matrix(params, 0, n_classes, n_features), matrix(grad, 0, n_classes, n_features)
    bias, by_bias = part(params, biases, n_classes), part(grad, biases, n_classes)
    grad[:] = 0
    linear_loss_rows(
        loss, X, weight, bias, labels, distribution, sample_weight, class_weight, smoothing, 1.0 / total, losses,
        by_weight, by_bias, weight[:0], team,
    )  # fmt: skip
    value = sum_row(losses) / total + penalise(params, sizes, penalty, grad)
    coordinates_grad_of(grad, scale, mean, bias_scale, grad, few)
    return value
