"""The penalties of SoftmaxClassifierCV: what is read of them, and what is chosen by which scores."""

from dataclasses import replace

import numpy as np
import pytest

from fastsoftmax import SoftmaxClassifier
from fastsoftmax.classifier.penalties import best_of_means, mean_of_bests, read_penalties

ALPHAS, RATIOS = [1.0, 100.0, 10.0], [0.5, 0.0]


def read(alphas=ALPHAS, l1_ratios=RATIOS, **params):
    return read_penalties(alphas, l1_ratios, {**SoftmaxClassifier().get_params(), **params})


def params_of(scores):
    """Parameters that tell which fit they come from: fold, l1_ratio and alpha."""
    return np.moveaxis(np.indices(scores.shape), 0, -1).astype(float)


def test_paths_go_from_the_strongest_penalty_to_the_weakest():
    penalties = read()
    assert [[(each.l1_ratio, each.alpha) for each in path] for path in penalties.paths] == [
        [(0.5, 100.0), (0.5, 10.0), (0.5, 1.0)],
        [(0.0, 100.0), (0.0, 10.0), (0.0, 1.0)],
    ]
    np.testing.assert_array_equal(penalties.alphas, ALPHAS)
    np.testing.assert_array_equal(penalties.l1_ratios, RATIOS)


def test_no_penalty_may_be_one_of_them_without_l1():
    assert [each.alpha for each in read([0.0, 1.0], [0.0]).paths[0]] == [1.0, 0.0]


def test_a_number_of_alphas_stands_for_those_of_logistic_regression_cv():
    np.testing.assert_array_equal(read(5).alphas, 1 / np.logspace(-4, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "params", "message"),
    [
        ((0,), {}, "alphas must be at least 1, got 0"),
        ((2.5,), {}, "alphas must be an integer or a sequence of numbers, got 2.5"),
        (([],), {}, "alphas must not be empty"),
        (([1.0, -1.0],), {}, "alphas must be finite and at least 0, got -1.0"),
        (([1.0, "1"],), {}, "alphas must be a number, got '1'"),
        (([0.0, 1.0],), {}, "alphas must be above 0 for L1 and for coordinate-descent"),
        (([0.0, 1.0], [0.0]), {"solver": "coordinate-descent"}, "alphas must be above 0"),
        ((ALPHAS, 0.5), {}, "l1_ratios must be a sequence of numbers, got 0.5"),
        ((ALPHAS, []), {}, "l1_ratios must not be empty"),
        ((ALPHAS, [1.5]), {}, "l1_ratios must be finite and at least 0 and at most 1, got 1.5"),
        ((ALPHAS, [0.0]), {"solver": "adam"}, "solver must be one of auto, lbfgs, .*, got 'adam'"),
        ((ALPHAS, [0.5]), {"solver": "newton-cg"}, "l1_ratio=0.5 needs solver='coordinate-descent' or 'lbfgs'"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(arguments, params, message):
    with pytest.raises((TypeError, ValueError), match=message):
        read(*arguments, **params)


def test_the_best_mean_score_is_taken():
    scores = np.zeros((2, 2, 3))
    scores[0, 1, 2], scores[:, 0, 0] = 0.8, (0.3, 0.6)  # the best of one fold, and the best of both together
    choice, options = best_of_means(read(), scores, params_of(scores))
    assert (choice.alpha, choice.l1_ratio, choice.score) == (1.0, 0.5, pytest.approx(0.45))
    assert (options.alpha, options.l1_ratio) == (1.0, 0.5)
    np.testing.assert_array_equal(choice.params, [0.5, 0, 0])


def test_of_equal_scores_the_strongest_penalty_is_taken_and_then_the_first_ratio():
    scores = np.zeros((2, 2, 3))
    choice, options = best_of_means(read(), scores, params_of(scores))
    assert (choice.alpha, choice.l1_ratio, options) == (100.0, 0.5, read().paths[0][0])
    scores[:, 1, :] = 1
    assert (best_of_means(read(), scores, params_of(scores))[0].alpha, RATIOS[1]) == (100.0, 0.0)
    assert mean_of_bests(read(), scores, params_of(scores)).alpha == pytest.approx(100.0)
    assert mean_of_bests(read(), scores, params_of(scores)).l1_ratio == 0.0


def test_means_of_what_is_best_in_each_fold():
    scores = np.zeros((2, 2, 3))
    scores[0, 1, 1], scores[1, 0, 0] = 0.5, 1.0
    choice = mean_of_bests(read(), scores, params_of(scores))
    assert choice.alpha == pytest.approx(2 / (1 / 100 + 1 / 1))  # of 1 / alpha, LogisticRegressionCV's C
    assert (choice.l1_ratio, choice.score) == (0.25, 0.75)
    np.testing.assert_array_equal(choice.params, [0.5, 0.5, 0.5])


def test_no_penalty_at_all_in_one_fold_is_none_in_the_mean():
    penalties = replace(read([1.0, 2.0], [0.0]), alphas=np.array([0.0, 2.0]))
    scores = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert mean_of_bests(penalties, scores, params_of(scores)).alpha == 0
