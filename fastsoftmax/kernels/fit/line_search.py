"""A step along a direction that goes down: the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6).

    F(t) <= F(0) + C1 t F'(0)      |F'(t)| <= C2 |F'(0)|

The search asks, and its caller evaluates: `begin_search` and `next_trial` leave the step to try in search[STEP], until
`next_trial`, told of F and F' there, answers FOUND or FAILED. F is known to rounding only: near the minimum, where no
step lowers it by more than that, the slopes alone decide.
"""

import math

from fastsoftmax.kernels.jit import inlined, kernel

C1, C2 = 1e-4, 0.9
MOST = 40  # steps that are tried before the minimum lies between two of them, and as many afterwards
LONGER = 4.0  # times the step before, while it goes down
EDGE = 0.1  # of an interval: how near to its ends no step is tried

# Positions in search: the step to try; step, value and slope of three trials, of which LOW is the better end of an
# interval (before there is one: the last trial), HIGH the other; what F is known to; steps tried; is there an interval?
STEP, START, LOW, HIGH, NOISE, TRIED, IS_BETWEEN = 0, 1, 4, 7, 10, 11, 12
SEARCH_SIZE = 13
VALUE, SLOPE = 1, 2  # from the position of a trial's step

TRY, FOUND, FAILED = 0, 1, 2


@kernel
def begin_search(search, value, slope, step, noise):
    # value and slope at 0; step: the first to try; noise: what F is known to
    search[START], search[START + VALUE], search[START + SLOPE] = 0.0, value, slope
    _copy_trial(search, START, LOW)
    search[STEP], search[NOISE], search[TRIED], search[IS_BETWEEN] = step, noise, 0.0, 0.0


@kernel
def next_trial(search, value, slope):
    # value and slope at search[STEP]. -> FOUND: it is the one; FAILED: there is none; TRY: the next one is in its place
    is_close = abs(slope) <= -C2 * search[START + SLOPE]
    is_worse = _is_too_high(search, value, slope)
    if search[IS_BETWEEN] == 0.0:
        if is_worse or (search[TRIED] > 0.0 and value > search[LOW + VALUE] + search[NOISE]):
            _put_trial(search, HIGH, value, slope)
            return _first_between(search)
        if is_close:
            return FOUND
        if slope >= 0.0:
            _copy_trial(search, LOW, HIGH)
            _put_trial(search, LOW, value, slope)
            return _first_between(search)
        _put_trial(search, LOW, value, slope)
        search[STEP] *= LONGER
        search[TRIED] += 1.0
        return TRY if search[TRIED] < MOST else FAILED
    if is_worse or value > search[LOW + VALUE] + search[NOISE]:
        _put_trial(search, HIGH, value, slope)
    elif is_close:
        return FOUND
    else:
        if slope * (search[HIGH] - search[LOW]) >= 0.0:
            _copy_trial(search, LOW, HIGH)
        _put_trial(search, LOW, value, slope)
    return _try_between(search)


@inlined
def _first_between(search):
    search[TRIED], search[IS_BETWEEN] = 0.0, 1.0
    return _try_between(search)


@inlined
def _try_between(search):
    step = _minimum_between(search)
    search[STEP] = step
    search[TRIED] += 1.0
    # no step is left between them: they are next to each other, or a first step has underflowed to 0
    is_over = step == search[LOW] or step == search[HIGH] or search[TRIED] > MOST
    return FAILED if is_over else TRY


@inlined
def _is_too_high(search, value, slope):
    # also where F or its slope is no number
    limit = search[START + VALUE] + C1 * search[STEP] * search[START + SLOPE] + search[NOISE]
    return not (value <= limit and math.isfinite(slope))


@inlined
def _put_trial(search, place, value, slope):
    search[place], search[place + VALUE], search[place + SLOPE] = search[STEP], value, slope


@inlined
def _copy_trial(search, source, to):
    for k in range(3):
        search[to + k] = search[source + k]


@inlined
def _minimum_between(search):
    # that of the cubic through LOW and HIGH (3.59), or the middle; not too near to either
    low, slope, slope_there = search[LOW], search[LOW + SLOPE], search[HIGH + SLOPE]
    width = search[HIGH] - low
    if width == 0.0:
        return low
    d1 = slope + slope_there - 3 * (search[HIGH + VALUE] - search[LOW + VALUE]) / width
    root = d1 * d1 - slope * slope_there
    if not math.isfinite(root):
        part = EDGE  # far too long a step
    elif root < 0:
        part = 0.5
    else:
        d2 = math.copysign(math.sqrt(root), width)
        below = slope_there - slope + 2 * d2
        part = 1 - (slope_there + d2 - d1) / below if below != 0.0 else 0.5
    return low + min(max(part, EDGE), 1 - EDGE) * width
