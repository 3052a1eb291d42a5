"""SoftmaxClassifierCV: the penalty of SoftmaxClassifier by cross-validation, as LogisticRegressionCV has it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted

from fastsoftmax._gate.arrays import Array
from fastsoftmax._gate.numbers import read_flag, read_integer
from fastsoftmax._threads import get_num_threads, num_threads
from fastsoftmax.classifier import attributes
from fastsoftmax.classifier.estimator import SoftmaxClassifier, fitted_classifier
from fastsoftmax.classifier.fitting import Data, totals_by_class
from fastsoftmax.classifier.labels import (
    plain_labels,
    read_class_weight,
    read_labels,
    weigh,
)
from fastsoftmax.classifier.options import choose_solver, network_of, read_verbose, reading_parameters
from fastsoftmax.classifier.paths import Point, follow, follow_all, read_folds
from fastsoftmax.classifier.penalties import Penalties, best_of_means, mean_of_bests, read_penalties
from fastsoftmax.classifier.reading import read_data
from fastsoftmax.classifier.reports import progress_bar, warn
from fastsoftmax.classifier.scorers import judge_of, score_of
from fastsoftmax.training.network import Network

SHARED = ("solver", "fit_intercept", "class_weight", "label_smoothing", "max_iter", "tol", "random_state", "n_threads")


class SoftmaxClassifierCV(ClassifierMixin, BaseEstimator):
    r"""Softmax regression with the strength and the kind of its penalty chosen by cross-validation.

    In each fold, and for each l1_ratio, the penalties are gone through from the strongest to the weakest, each fit from
    where those before are heading. The alpha and l1_ratio with the best mean score are taken for a fit on all samples;
    of equal ones the strongest alpha, and then the first l1_ratio.

    Parameters
    ----------
    alphas : int or sequence of float, default 10
        Strengths of the penalty, as SoftmaxClassifier's alpha; an int n is for 1 / logspace(-4, 4, n): those of
        LogisticRegressionCV(Cs=n).
    l1_ratios : sequence of float, default (0.0,)
        Parts of L1 in the penalty, as SoftmaxClassifier's l1_ratio.
    solver : {"auto", "lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent"}
        As SoftmaxClassifier's. coordinate-descent has a copy of X by features, one in each Python thread.
    fit_intercept, class_weight, label_smoothing : as in `SoftmaxClassifier`
        class_weight="balanced" is by all samples, in every fold.
    cv : int, splitter or iterable of (train, test), optional
        As scikit-learn takes them; an int is a number of stratified folds, and None is 5. Samples are weighted rather
        than copied, but for an X of up to 8 MB.
    scoring : str or callable, optional
        A scorer of scikit-learn's; by default accuracy.
    refit : bool, default True
        Whether the best penalty is fitted to all samples. If not, coef_, intercept_, alpha_ and l1_ratio_ are means of
        what was best in each fold (alpha_ that of 1 / alpha, as LogisticRegressionCV's C).
    max_iter, tol : as in `SoftmaxClassifier`
    random_state : int, RandomState instance or None
        Not used: nothing in a fit is left to chance. A splitter has its own.
    n_jobs : int, optional
        Folds and l1_ratios at a time, in Python threads; None is 1 (unless a joblib.parallel_config says otherwise), -1
        is as many as there are cores.
    n_threads : int, optional
        Threads of a fit where n_jobs is 1; with more, each fit has one.
    verbose : bool or int, default 0
        Whether a progress bar is drawn on stderr.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    coef_, intercept_ : ndarray (n_classes, n_features) and (n_classes,), or (1, n_features) and (1,) for two classes
    alphas_, l1_ratios_ : ndarray
        Those that were tried.
    alpha_, l1_ratio_ : float
        The best.
    scores_ : ndarray (n_folds, n_l1_ratios, n_alphas)
    best_score_ : float
        The mean over the folds of the scores of the best penalty; without refit, the mean of the best scores.
    coefs_paths_ : ndarray (n_folds, n_l1_ratios, n_alphas, n_classes or 1, n_features or n_features + 1)
        Weights, and behind them the intercepts if there are any.
    n_iter_ : ndarray (n_folds, n_l1_ratios, n_alphas)
    best_estimator_ : SoftmaxClassifier
        The model that predicts.
    n_features_in_, feature_names_in_
        As scikit-learn has them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastsoftmax import SoftmaxClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxClassifierCV(alphas=5).fit(X, y)
    >>> model.scores_.shape, model.alpha_
    ((5, 1, 5), 0.01)
    """

    def __init__(
        self,
        *,
        alphas: int | Sequence[float] = 10,
        l1_ratios: Sequence[float] = (0.0,),
        solver: str = "auto",
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
        max_iter: int = 200,
        tol: float = 1e-4,
        random_state: Any = None,
        n_jobs: int | None = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.alphas = alphas
        self.l1_ratios = l1_ratios
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.verbose = verbose

    @attributes.kept_until("best_estimator_")
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose the penalty, and fit with it.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)
        y : array_like (n_samples,) or (n_samples, n_classes)
            As SoftmaxClassifier.fit takes it. Of probabilities, the most probable class tells the folds.
        sample_weight : array_like (n_samples,), optional
            Of the fits, and of the scores.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or argument that cannot be used, by its name.

        Warns
        -----
        ConvergenceWarning
            Some of the fits ended before they were as good as tol asks.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.alpha_, model.scores_.shape
        (0.1, (5, 1, 2))
        """
        with reading_parameters():
            read_flag("refit", self.refit)
            shown = read_verbose(self.verbose)
            n_jobs = None if self.n_jobs is None else read_integer("n_jobs", self.n_jobs)
        given = {**SoftmaxClassifier().get_params(), **self._shared()}
        penalties = read_penalties(self.alphas, self.l1_ratios, given)
        samples, y, by_row = read_data(self, X, plain_labels(y), sample_weight, reset=True)
        labels = read_labels(y, samples.dtype)
        shape = samples.shape[0], samples.shape[1], len(labels.classes)
        paths = [[choose_solver(options, *shape) for options in path] for path in penalties.paths]
        network = network_of(paths[0][0], *shape[1:])
        totals = partial(totals_by_class, Data(samples, labels, by_row), network)
        by_class = read_class_weight(self.class_weight, labels.classes, totals, samples.dtype)
        data = Data(samples, *weigh("cross_entropy", labels, by_row, by_class))
        splits = check_cv(self.cv, labels.hard, classifier=True).split(samples, labels.hard)
        folds = read_folds(splits, samples.shape[0])
        judge = judge_of(self.scoring, self._shared(), network, samples, labels, by_row)
        workers = min(effective_n_jobs(n_jobs), len(folds) * len(paths))
        n_fits = len(folds) * penalties.alphas.size * penalties.l1_ratios.size
        threads = get_num_threads() if self.n_threads is None else self.n_threads
        with num_threads(threads), progress_bar(shown, type(self).__name__, n_fits, "score") as tell:
            points = follow_all(paths, folds, network, data, judge, tell, workers)
            self._choose(replace(penalties, paths=paths), points, labels.classes, network, data)
        return self

    def _shared(self) -> dict[str, Any]:
        """The parameters that SoftmaxClassifier has, too."""
        return {name: getattr(self, name) for name in SHARED}

    def _choose(
        self,
        penalties: Penalties,
        points: list[list[list[tuple[Point, float]]]],
        classes: Array,
        network: Network,
        data: Data,
    ) -> None:
        """Choose by what the paths have found, fit to all samples, and set the attributes when all that is done."""
        back = np.argsort(penalties.order)
        found = [[[path[k] for k in back] for path in fold] for fold in points]
        scores = np.array([[[score for _, score in path] for path in fold] for fold in found])
        params = np.array([[[point.params for point, _ in path] for path in fold] for fold in found])
        converged = [point.converged for fold in found for path in fold for point, _ in path]
        if self.refit:
            choice, options = best_of_means(penalties, scores, params)
            (best,) = follow([options], network, data, choice.params)
            converged.append(best.converged)
            chosen, n_iter = best.params, best.n_iter
        else:
            choice = mean_of_bests(penalties, scores, params)
            chosen, n_iter = choice.params, 0
        given = {**self._shared(), "alpha": choice.alpha, "l1_ratio": choice.l1_ratio}
        names = getattr(self, "feature_names_in_", None)
        self.best_estimator_ = fitted_classifier(given, classes.copy(), network, chosen, n_iter, names)
        self.classes_, self.alphas_, self.l1_ratios_ = classes, penalties.alphas, penalties.l1_ratios
        self.alpha_, self.l1_ratio_, self.best_score_ = choice.alpha, choice.l1_ratio, choice.score
        self.scores_, self.coefs_paths_ = scores, attributes.coefs_paths_of(network, params, self.fit_intercept)
        self.n_iter_ = np.array([[[point.n_iter for point, _ in path] for path in fold] for fold in found], np.int32)
        if not all(converged):
            message = f"{len(converged) - sum(converged)} of {len(converged)} fits have not converged"
            warn(f"{message}. Cure: a larger max_iter, features of a like scale (StandardScaler)", ConvergenceWarning)

    @property
    def coef_(self) -> Array:
        """Weights, (n_classes, n_features) or (1, n_features)."""
        return self.best_estimator_.coef_

    @property
    def intercept_(self) -> Array:
        """Biases, (n_classes,) or (1,)."""
        return self.best_estimator_.intercept_

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits: see SoftmaxClassifier.decision_function.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes), or (n_samples,) for two classes

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.decision_function(X).shape
        (150, 3)
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.decision_function(X)

    def predict(self, X: ArrayLike) -> Array:
        """The most probable class of each sample: see SoftmaxClassifier.predict.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples,)

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.predict(X[:2])
        array([0, 0])
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict(X)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities of the classes: see SoftmaxClassifier.predict_proba.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.predict_proba(X[:1]).round(1)
        array([[1., 0., 0.]])
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict_proba(X)

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Logarithms of the probabilities: see SoftmaxClassifier.predict_log_proba.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.predict_log_proba(X).max() < 0
        np.True_
        """
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict_log_proba(X)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The score by `scoring`: accuracy by default.

        Parameters
        ----------
        X, y, sample_weight : as in `SoftmaxClassifier.score`

        Returns
        -------
        float

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifierCV(alphas=[0.1, 10.0]).fit(X, y)
        >>> model.score(X, y) > 0.95
        True
        """
        check_is_fitted(self, "best_estimator_")
        if self.scoring is None:
            return self.best_estimator_.score(X, y, sample_weight)
        return score_of(self.scoring, self.best_estimator_, X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        """Sparse X is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
