"""SoftmaxClassifierCV: what LogisticRegressionCV chooses and scores, by weights instead of copies of the folds."""

import threading
import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import rng
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import f1_score, get_scorer, log_loss, make_scorer
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastsoftmax import SoftmaxClassifier, SoftmaxClassifierCV, num_threads
from fastsoftmax.classifier import cross_validation, paths, scorers
from fastsoftmax.training import objective, spread
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.loop import Training, train

BUNDLED = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CHECKED = [
    SoftmaxClassifierCV(),
    SoftmaxClassifierCV(alphas=3, cv=3, solver="newton-cholesky"),
    SoftmaxClassifierCV(alphas=[1.0, 10.0, 0.1], cv=3),
    SoftmaxClassifierCV(alphas=[0.1, 1.0], l1_ratios=(0.0, 0.5), cv=3, refit=False),
    SoftmaxClassifierCV(alphas=[1.0], scoring="neg_log_loss", n_jobs=2, cv=3),
]


@unfinished
@parametrize_with_checks(CHECKED, legacy=True)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def data_of(name):
    X, y = BUNDLED[name](return_X_y=True)
    X, y = (X[::6], y[::6]) if name == "digits" else (X, y)
    return StandardScaler().fit_transform(X), y


def tight(**params):
    return SoftmaxClassifierCV(**{"alphas": 6, "tol": 1e-9, "max_iter": 5000, **params})


def theirs(**params):
    default = {"Cs": 6, "l1_ratios": (0.0,), "scoring": "accuracy", "use_legacy_attributes": False, "tol": 1e-8}
    return LogisticRegressionCV(**{**default, "solver": "newton-cholesky", "max_iter": 500, **params})


def assert_alike(ours, other, atol=2e-3):
    np.testing.assert_allclose(ours.alphas_, 1 / other.Cs_, rtol=1e-12)
    np.testing.assert_allclose(ours.scores_, other.scores_, atol=1e-4)
    assert ours.scores_.shape == ours.n_iter_.shape == other.scores_.shape
    assert ours.coefs_paths_.shape == other.coefs_paths_.shape
    strong = ours.alphas_ > 1e-3  # where the minimum is not too flat
    np.testing.assert_allclose(ours.coefs_paths_[:, :, strong], other.coefs_paths_[:, :, strong], atol=atol)
    assert ours.alpha_ == pytest.approx(1 / other.C_)
    assert ours.l1_ratio_ == other.l1_ratio_
    assert ours.coef_.shape == other.coef_.shape
    np.testing.assert_allclose(ours.coef_, other.coef_, atol=atol)
    np.testing.assert_allclose(ours.intercept_, other.intercept_, atol=atol)


@pytest.mark.parametrize("name", BUNDLED)
def test_it_chooses_what_logistic_regression_cv_does(name):
    X, y = data_of(name)
    ours, other = tight().fit(X, y), theirs(solver="lbfgs" if name == "digits" else "newton-cholesky").fit(X, y)
    assert_alike(ours, other, atol=1e-2)
    assert ours.best_score_ == pytest.approx(other.scores_.mean(axis=0).max())
    assert (ours.predict(X) == other.predict(X)).all()
    assert ours.score(X, y) == other.score(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), other.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize(
    "params",
    [{"refit": False}, {"fit_intercept": False}, {"class_weight": "balanced"}, {"scoring": "neg_log_loss", "cv": 3}],
    ids=str,
)
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_options_mean_what_they_do_there(name, params, weigh):
    X, y = data_of(name)
    weight = rng(1).uniform(0.1, 3, len(y)) if weigh else None
    ours, other = tight(**params).fit(X, y, weight), theirs(**params).fit(X, y, weight)
    assert_alike(ours, other)
    if weigh and "scoring" in params:
        assert ours.score(X, y, weight) == pytest.approx(other.score(X, y, sample_weight=weight), rel=1e-4)


def test_elastic_nets():
    X, y = data_of("iris")
    ratios = (0.3, 1.0)
    ours = tight(l1_ratios=ratios, alphas=[10.0, 1.0]).fit(X, y)
    other = theirs(l1_ratios=ratios, Cs=[0.1, 1.0], solver="saga", max_iter=20_000, tol=1e-9).fit(X, y)
    assert_alike(ours, other)
    assert (ours.coefs_paths_ == 0).any()


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_path_ends_where_cold_fits_do(l1_ratio):
    X, y = data_of("wine")
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    model = tight(cv=folds, l1_ratios=[l1_ratio]).fit(X, y)
    for k, alpha in enumerate(model.alphas_):
        cold = SoftmaxClassifier(alpha=alpha, l1_ratio=l1_ratio, tol=1e-9, max_iter=5000)
        np.testing.assert_allclose(model.scores_[:, 0, k], cross_val_score(cold, X, y, cv=folds), atol=1e-9)
    again = SoftmaxClassifier(alpha=model.alpha_, l1_ratio=l1_ratio, tol=1e-9, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(model.coef_, again.coef_, atol=1e-4)


@pytest.mark.parametrize("copied", [0, paths.COPIED])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_path_takes_few_evaluations_to_where_cold_fits_end(sparse, copied, monkeypatch):
    """Each fit begins where the minima seem to be heading, with what those before it have learned of the Hessian."""
    X, y = data_of("digits")
    X = csr_array(np.where(X > 0, X, 0)) if sparse else X
    folds, alphas, rows = [(np.arange(60, 300), np.arange(60))], np.geomspace(100, 0.1, 12), set()

    def evaluations(fit):
        calls, evaluate = [], ArrayObjective.value_and_grad
        with monkeypatch.context() as patched:
            count = lambda self, *a: calls.append(len(self.targets)) or evaluate(self, *a)  # noqa: E731
            patched.setattr(ArrayObjective, "value_and_grad", count)
            patched.setattr(ArrayObjective, "iteration", lambda *_: None)  # so that each is a call of its own
            fit()
        rows.update(calls)
        return len(calls)

    monkeypatch.setattr(paths, "COPIED", copied)
    monkeypatch.setattr(scorers, "COPIED", copied)
    model = SoftmaxClassifierCV(alphas=alphas, cv=folds, solver="lbfgs", refit=False, tol=1e-6, max_iter=1000)
    along = evaluations(lambda: model.fit(X, y))
    assert rows == {240 if copied else len(y)}
    cold = [SoftmaxClassifier(alpha=alpha, solver="lbfgs", tol=1e-6, max_iter=1000) for alpha in alphas]
    alone = sum(evaluations(lambda one=one: one.fit(X[60:300], y[60:300])) for one in cold)
    assert along < alone / 2
    for k, one in enumerate(cold):
        np.testing.assert_allclose(model.coefs_paths_[0, 0, k, :, :-1], one.coef_, atol=2e-3)


def test_the_next_minimum_is_looked_for_in_line_with_the_last_two():
    before, here = np.array([0.0, 1.0]), np.array([1.0, 1.5])
    np.testing.assert_allclose(paths._extrapolated([100.0, 10.0, 1.0], before, here), [2.0, 2.0])
    np.testing.assert_allclose(paths._extrapolated([100.0, 10.0, 10.0], before, here), here)
    np.testing.assert_allclose(
        paths._extrapolated([100.0, 99.0, 1.0], before, here), here + paths.FURTHEST * (here - before)
    )
    for alphas in ([10.0, 10.0, 1.0], [10.0, 1.0, 0.0], [1.0, 0.0, 0.0]):
        assert paths._extrapolated(alphas, before, here) is here


def starts_and_ends(monkeypatch, fails=(), **options):
    """Of the fits along a path; those whose positions are in `fails` end at once, with no finite loss."""
    starts, ends = [], []

    def followed(problem, params, *more):
        starts.append(params.copy())
        training = Training(failed=True) if len(starts) - 1 in fails else train(problem, params, *more)
        ends.append(params.copy())
        return training

    monkeypatch.setattr(paths, "train", followed)
    X, y = data_of("iris")
    folds = [(np.arange(0, 150, 2), np.arange(1, 150, 2))]
    SoftmaxClassifierCV(alphas=[100.0, 10.0, 1.0], cv=folds, solver="lbfgs", refit=False, **options).fit(X, y)
    return starts, ends


def test_a_path_goes_on_from_the_last_minimum_where_the_loss_is_not_finite_further_on(monkeypatch):
    starts, ends = starts_and_ends(monkeypatch, fails=[2])
    np.testing.assert_allclose(starts[2], 2 * ends[1] - ends[0])
    np.testing.assert_array_equal(starts[3], ends[1])
    assert len(starts) == 4


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent"])
def test_solvers_tell_a_start_without_a_finite_loss(solver, far, monkeypatch):
    X, y = data_of("iris")
    model = tight(solver=solver, alphas=[100.0, 10.0, 1.0], cv=2, refit=False)
    params = model.fit(X, y).coefs_paths_
    monkeypatch.setattr(paths, "_extrapolated", lambda alphas, before, here: np.full_like(here, far))
    np.testing.assert_allclose(model.fit(X, y).coefs_paths_, params, atol=1e-4)


@pytest.mark.parametrize("fails", [[1], [2, 3]])
def test_a_path_ends_where_the_loss_is_not_finite_at_the_last_minimum_either(fails, monkeypatch):
    with pytest.raises(ValueError, match="the loss was not finite"):
        starts_and_ends(monkeypatch, fails)


@unfinished
def test_a_path_goes_on_from_where_a_fit_has_not_converged(monkeypatch):
    starts, ends = starts_and_ends(monkeypatch, max_iter=1, tol=1e-12)
    np.testing.assert_array_equal(starts[2], ends[1])


def test_alphas_in_any_order_and_ties_go_to_the_strongest():
    X, y = data_of("iris")
    alphas = np.array([1.0, 1e-2, 1e5, 30.0, 1e4])
    model, ordered = tight(alphas=alphas).fit(X, y), tight(alphas=np.sort(alphas)[::-1]).fit(X, y)
    np.testing.assert_array_equal(model.scores_, ordered.scores_[:, :, np.argsort(np.argsort(-alphas))])
    assert model.alpha_ == ordered.alpha_
    hopeless = tight(alphas=[1e7, 1e9, 1e8], cv=KFold(3, shuffle=True, random_state=0)).fit(X, y)
    assert np.ptp(hopeless.scores_.mean(axis=0)) == 0
    assert hopeless.alpha_ == 1e9


@unfinished
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_same_bits_with_any_number_of_threads(sparse, l1_ratio):
    X, y = data_of("digits")
    X = csr_array(np.where(X > 0, X, 0)) if sparse else X
    options = {"alphas": [10.0, 1.0], "l1_ratios": (l1_ratio, 0.5)}
    one, two = SoftmaxClassifierCV(**options).fit(X, y), SoftmaxClassifierCV(**options, n_jobs=2).fit(X, y)
    three = SoftmaxClassifierCV(**options, n_threads=1).fit(X, y)
    for other in (two, three):
        np.testing.assert_array_equal(one.coefs_paths_, other.coefs_paths_)
        np.testing.assert_array_equal(one.coef_, other.coef_)
        np.testing.assert_array_equal(one.scores_, other.scores_)


def test_a_path_looks_once_at_how_the_features_are_spread(monkeypatch):
    looks = []

    def counted(*arguments):
        looks.append(arguments)
        return spread.Spread(*arguments)

    monkeypatch.setattr(objective, "Spread", counted)
    X, y = data_of("wine")
    SoftmaxClassifierCV(alphas=5, cv=3, solver="lbfgs").fit(X, y)
    assert len(looks) == 3 + 1  # the fit on all samples looks again


@unfinished
def test_folds_have_one_x():
    r = rng(3)
    X, y = r.standard_normal((100_000, 20)), r.integers(0, 2, 100_000)
    model = SoftmaxClassifierCV(alphas=[1.0], max_iter=3)
    model.fit(X[:1000], y[:1000])
    with num_threads(1):
        tracemalloc.start()
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.8 * X.nbytes  # weights, losses, logits of two classes and 8192 rows are half of it


def test_probabilities_as_targets_and_names_of_features():
    pandas = pytest.importorskip("pandas")
    X, y = data_of("iris")
    soft = 0.9 * np.eye(3)[y] + 0.1 / 3
    model = tight().fit(pandas.DataFrame(X, columns=list("abcd")), soft)
    assert list(model.feature_names_in_) == list(model.best_estimator_.feature_names_in_) == list("abcd")
    assert model.best_score_ > 0.9
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(X)


def test_an_error_in_one_thread_ends_all():
    X, y = data_of("iris")

    def scorer(model, X, y):
        raise KeyboardInterrupt

    for n_jobs in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            SoftmaxClassifierCV(scoring=scorer, n_jobs=n_jobs).fit(X, y)


def test_what_has_not_converged_is_told(capfd):
    X, y = data_of("wine")
    with pytest.warns(ConvergenceWarning, match="11 of 11 fits have not converged"):
        SoftmaxClassifierCV(alphas=[1e-3, 1e-4], tol=1e-12, max_iter=2, verbose=1).fit(X, y)
    out, err = capfd.readouterr()
    assert (out, "SoftmaxClassifierCV" in err) == ("", True)
    assert (" score " in err, " loss " in err) == (True, False)  # it is what scoring gives


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"alphas": []}, "alphas must not be empty"),
        ({"l1_ratios": [1.5]}, "l1_ratio"),
        ({"solver": "sgd"}, "solver must be one of"),
        ({"refit": "yes"}, "refit"),
        ({"scoring": "beauty"}, "scoring"),
        ({"scoring": ["accuracy", "f1_macro"]}, "scoring must give one number for a model, got {'accuracy'"),
        ({"n_jobs": "2"}, "n_jobs must be an integer, got '2'"),
        ({"n_jobs": 1.5}, "n_jobs must be an integer, got 1.5"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(params, told):
    X, y = data_of("iris")
    with pytest.raises((ValueError, TypeError), match=told):
        SoftmaxClassifierCV(**params).fit(X, y)


def test_a_fold_without_weight_is_told():
    X, y = data_of("iris")
    weight = np.zeros(len(y))
    weight[0] = 1
    with pytest.raises(ValueError, match="all zero"):
        SoftmaxClassifierCV(cv=[(np.arange(1, 100), np.arange(100, 150))]).fit(X, y, weight)


def test_the_best_estimator_is_a_whole_classifier(tmp_path):
    """It can be saved, and scorers are given no names that their array lacks."""
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SoftmaxClassifierCV(alphas=2, scoring="neg_log_loss").fit(X, y)
    assert isinstance(X, pandas.DataFrame)
    model.best_estimator_.save(tmp_path / "model")
    loaded = SoftmaxClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert list(loaded.feature_names_in_) == list(X.columns)


def test_soft_targets_are_scored_by_their_likeliest_class():
    X, y = load_iris(return_X_y=True)
    soft = np.full((150, 3), 0.1)
    soft[np.arange(150), y] = 0.8
    by_name, by_default = (SoftmaxClassifierCV(alphas=3, scoring=way).fit(X, soft) for way in ("accuracy", None))
    np.testing.assert_allclose(by_name.scores_, by_default.scores_)
    assert by_name.score(X, soft) == by_default.score(X, soft) == by_default.score(X, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss"])
def test_scores_of_our_own_are_those_of_scikit_learns_scorers(name, weigh, dtype):
    """Also where a wrong class is so sure that the true one's probability rounds to 0."""
    X, y = data_of("wine")
    X, y = 50 * X.astype(dtype), y.copy()
    y[0] = 2
    weight = rng(2).uniform(0.1, 3, len(y)) if weigh else None
    folds = StratifiedKFold(3, shuffle=True, random_state=1)
    by_name, by_scorer = (
        SoftmaxClassifierCV(alphas=[100.0, 1e-6], cv=folds, scoring=scoring, max_iter=1000).fit(X, y, weight)
        for scoring in (name, get_scorer(name))
    )
    if name == "neg_log_loss":
        rarely = by_scorer.scores_.min()
        assert rarely < -0.3, rarely
    np.testing.assert_allclose(by_name.scores_, by_scorer.scores_, rtol=100 * np.finfo(dtype).eps)


def test_a_failed_fit_leaves_nothing_half_done():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifierCV(alphas=2, scoring=lambda *_: np.nan)
    with pytest.raises(ValueError, match="scoring must give finite scores, got nan"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(scoring=None).fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="scoring"):
        model.set_params(scoring=lambda *_: np.inf).fit(X, y + 1)
    assert np.array_equal(model.classes_, [0, 1, 2])
    assert np.array_equal(model.predict(X), before)


@pytest.mark.parametrize(
    ("options", "weights", "message"),
    [
        ({"cv": []}, None, "cv must have at least one fold"),
        ({"cv": [([0, 60, 120], [])]}, None, "cv must have samples to train on and to hold out in each fold: fold 0"),
        ({"cv": [([], [0, 60, 120])]}, None, "cv must have samples to train on and to hold out in each fold: fold 0"),
        (
            {"cv": [([0, 60], [120]), ([0], [150])]},
            None,
            "cv must have positions or masks of 150 samples: fold 1: .*150",
        ),
        ({"cv": [(np.ones(9, bool), [120])]}, None, "cv must have positions or masks of 150 samples: fold 0: .*9"),
        ({"cv": KFold(5)}, np.arange(150) >= 30, "sample_weight must not be all zero in what a fold holds out"),
    ],
)
def test_folds_that_cannot_be_used_are_named(options, weights, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        SoftmaxClassifierCV(alphas=2, **options).fit(X, y, weights)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_fit_to_all_samples_leaves_the_model_as_it_was(error, monkeypatch):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifierCV(alphas=[1.0, 0.1]).fit(X, y)
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}

    def fails(*_):
        raise error

    monkeypatch.setattr(cross_validation, "follow", fails)  # of all samples alone; those of folds go by follow_all
    with pytest.raises(error):
        model.set_params(alphas=3).fit(X, y + 1)
    assert all(vars(model)[name] is value for name, value in before.items() if name != "n_features_in_")


def test_a_scorer_without_weights_gets_none():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxClassifierCV(alphas=2, scoring=lambda model, X, y: model.score(X, y)).fit(X, y, np.ones(150))
    assert model.best_score_ > 0.9


def test_an_error_in_one_fold_ends_the_others():
    X, y = load_iris(return_X_y=True)
    calls, lock = [], threading.Lock()

    def scoring(model, X, y):
        with lock:
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("enough")
        return 1.0

    with pytest.raises(RuntimeError, match="enough"):
        SoftmaxClassifierCV(alphas=300, scoring=scoring, n_jobs=2).fit(X, y)
    assert len(calls) < 300


@pytest.mark.parametrize(
    ("scoring", "n_classes"), [("neg_brier_score", 2), ("neg_brier_score", 3), ("top_k_accuracy", 3), ("f1", 2)]
)
def test_folds_that_hold_out_one_class_alone_are_scored_as_logistic_regression_cv_does(scoring, n_classes):
    X, y = data_of("iris")
    X, y = X[y < n_classes], np.array(["a", "b", "c"])[y[y < n_classes]]
    options, alphas = {"scoring": scoring, "cv": KFold(n_classes)}, np.array([1000.0, 10.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of f1: nothing of "b" in a fold, nothing found
        ours, other = tight(alphas=alphas, **options).fit(X, y), theirs(Cs=1 / alphas, **options).fit(X, y)
    np.testing.assert_allclose(ours.scores_, other.scores_, rtol=1e-3)
    assert ours.alpha_ == pytest.approx(1 / other.C_)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["f1_macro", "jaccard_macro", "recall_macro"])
def test_a_class_that_a_fold_does_not_hold_out_has_no_part_in_a_mean_over_classes(name):
    y = np.arange(60) % 3
    X, held_out = 10 * np.eye(3)[y], np.flatnonzero(y < 2)[:20]
    folds = [(np.setdiff1d(np.arange(60), held_out), held_out)]
    model = SoftmaxClassifierCV(alphas=[1.0], cv=folds, scoring=name).fit(X, y)
    assert model.best_score_ == 1 == cross_val_score(SoftmaxClassifier(), X, y, cv=folds, scoring=name)[0]


@pytest.mark.parametrize("name", ["f1", "recall", "jaccard", "neg_brier_score", "average_precision", "neg_log_loss"])
def test_other_samples_are_scored_as_folds_are(name):
    """Of two classes that are not 0 and 1 the second is the positive one, and one class alone is scored, too."""
    X, y = data_of("breast_cancer")
    model = SoftmaxClassifierCV(alphas=[1.0], cv=3, scoring=name)
    numbers, words = (model.fit(X, classes[y]).score(X, classes[y]) for classes in (np.arange(2), np.array(["a", "b"])))
    assert numbers == words
    assert model.best_score_ == pytest.approx(
        cross_val_score(SoftmaxClassifier(alpha=1.0), X, y, cv=3, scoring=name).mean()
    )
    assert np.isfinite(model.score(X[y == 1], np.array(["a", "b"])[y[y == 1]]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_partial", [False, True])
def test_a_mean_over_two_classes_is_told_no_positive_one(is_partial):
    macro = {"average": "macro"}
    scorer = make_scorer(partial(f1_score, **macro)) if is_partial else make_scorer(f1_score, **macro)
    X, y = data_of("breast_cancer")
    y = np.array(["a", "b"])[y]
    model = SoftmaxClassifierCV(alphas=[1.0], cv=3, scoring=scorer).fit(X, y)
    by_name = cross_val_score(SoftmaxClassifier(alpha=1.0), X, y, cv=3, scoring="f1_macro")
    np.testing.assert_allclose(model.scores_[:, 0, 0], by_name)


def test_what_is_used_of_scikit_learns_scorers_exists():
    scorer = make_scorer(log_loss, response_method="predict_proba")
    for name in scorers.PRIVATE:
        assert hasattr(scorer, name), name
    told = scorers.tell_classes(scorer, np.arange(3))
    np.testing.assert_array_equal(told._kwargs["labels"], np.arange(3))
    assert scorer._kwargs == {}


@pytest.mark.parametrize("name", scorers.PRIVATE)
def test_scorers_without_what_is_used_of_scikit_learns_are_left_as_they_are(name):
    scorer = make_scorer(log_loss, response_method="predict_proba")
    delattr(scorer, name)
    assert scorers.tell_classes(scorer, np.arange(3)) is scorer


def test_a_score_whose_arguments_cannot_be_known_is_told_no_classes():
    """As one that is written in C, without a signature."""

    def score(y, probs):
        return 0.0

    score.__signature__ = "none"
    scorer = make_scorer(score, response_method="predict_proba")
    assert scorers.tell_classes(scorer, np.arange(3)) is scorer


def test_a_scorer_whose_arguments_cannot_be_known_may_take_weights():
    assert scorers.takes_weights(max)  # it has no signature
    assert scorers.takes_weights(lambda model, X, y, sample_weight=None: 0)
    assert scorers.takes_weights(lambda model, X, y, **more: 0)
    assert not scorers.takes_weights(lambda model, X, y: 0)


@pytest.mark.parametrize(
    ("ended", "error"), [({"interrupted": True}, KeyboardInterrupt), ({"failed": True}, ValueError)]
)
def test_a_path_that_ends_before_its_time_is_told(ended, error, monkeypatch):
    monkeypatch.setattr(paths, "train", lambda *_: Training(**ended))
    with pytest.raises(error):
        SoftmaxClassifierCV(cv=2, alphas=[1.0], solver="lbfgs").fit(np.eye(6), [0, 1, 2] * 2)
