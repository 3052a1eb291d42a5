"""scikit-learn's own tests of LogisticRegression and of LogisticRegressionCV, of our classifiers:
classes with their parameters take their places in a copy of the module. What it tests that ours lack is listed, with
the reason.
"""

from typing import Any, Self

import numpy as np
import pytest
import sklearn
from peers import check_table, module_copy, skip_what_does_not_apply
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model._base import LinearClassifierMixin

import fastsoftmax as fs
from fastsoftmax.classifier.options import SOLVERS

if not sklearn.__version__.startswith("1.9."):
    pytest.skip("the table below is of scikit-learn 1.9's tests", allow_module_level=True)


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """A SoftmaxClassifier by LogisticRegression's parameters; a solver that ours lacks is "auto"."""

    _predict_proba_lr = LinearClassifierMixin._predict_proba_lr

    def __init__(
        self,
        penalty: Any = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: Any = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def _ours(self) -> dict[str, Any]:
        same = ("fit_intercept", "class_weight", "random_state", "max_iter", "verbose", "warm_start")
        options = {name: getattr(self, name) for name in same} | {"alpha": 0.0 if self.penalty is None else 1 / self.C}
        options["tol"] = self.tol / 10  # of another measure, in which the same number asks for less
        if self.l1_ratio:
            return options | {"solver": "coordinate-descent", "l1_ratio": self.l1_ratio}
        return options | {"solver": self.solver if self.solver in SOLVERS else "auto"}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        if "_model" not in vars(self):
            self._model = fs.SoftmaxClassifier()
        self._model.set_params(**self._ours()).fit(X, y, sample_weight)
        return self

    def set_callbacks(self, *callbacks: Any) -> Self:
        self._model = fs.SoftmaxClassifier().set_callbacks(*callbacks)
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "_model" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._model, name)


class LogisticRegressionCV(ClassifierMixin, BaseEstimator):
    """A SoftmaxClassifierCV by LogisticRegressionCV's parameters, with the attributes of both its ways to have them."""

    def __init__(
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = "warn",
        fit_intercept: bool = True,
        cv: Any = None,
        dual: bool = False,
        penalty: Any = "deprecated",
        scoring: Any = "warn",
        solver: str = "lbfgs",
        tol: float = 1e-4,
        max_iter: int = 100,
        class_weight: Any = None,
        n_jobs: Any = None,
        verbose: int = 0,
        refit: bool = True,
        intercept_scaling: float = 1.0,
        random_state: Any = None,
        use_legacy_attributes: Any = "warn",
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        ratios = (0.0,) if self._has_no_ratios() else self.l1_ratios
        self.Cs_ = np.logspace(-4, 4, self.Cs) if isinstance(self.Cs, int) else np.array(self.Cs, float)
        solver = self.solver if self.solver in SOLVERS and not any(ratios) else "auto"
        same = ("fit_intercept", "class_weight", "random_state", "max_iter", "verbose", "cv", "refit", "n_jobs")
        self._model = fs.SoftmaxClassifierCV(
            alphas=1 / self.Cs_,
            l1_ratios=ratios,
            solver=solver,
            scoring=None if self.scoring == "warn" else self.scoring,
            tol=self.tol / 10,  # as above
            **{name: getattr(self, name) for name in same},
        ).fit(X, y, sample_weight)
        at = np.flatnonzero(self._model.alphas_ == self._model.alpha_)
        self.C_ = float(self.Cs_[at[0]]) if at.size else 1 / self._model.alpha_  # a mean, without refit
        if self.use_legacy_attributes:
            self._use_legacy_attributes()
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        return self._model.score(X, y, sample_weight)

    def _has_no_ratios(self) -> bool:
        return self.l1_ratios is None or isinstance(self.l1_ratios, str)

    def _use_legacy_attributes(self) -> None:
        """Dictionaries by class, with l1_ratios behind Cs, and left out if none are given."""
        model = self._model
        paths, scores = model.coefs_paths_.transpose(3, 0, 2, 1, 4), model.scores_.transpose(0, 2, 1)
        self.n_iter_ = model.n_iter_.transpose(0, 2, 1)[None]
        if self._has_no_ratios():
            paths, scores, self.n_iter_ = paths[:, :, :, 0], scores[:, :, 0], self.n_iter_[..., 0]
        labels = model.classes_[-len(paths) :]
        self.coefs_paths_ = dict(zip(labels, paths, strict=True))
        self.scores_ = dict.fromkeys(labels, scores)
        self.C_, self.l1_ratio_ = np.full(len(labels), self.C_), np.full(len(labels), model.l1_ratio_)

    def __getattr__(self, name: str) -> Any:
        if name == "_model" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._model, name)


PRIVATE = "of a private function of scikit-learn's"
LIBLINEAR = "of liblinear's own limits"
TEXTS = "texts of errors and warnings"
ROUTING = "scorers are given sample_weight if they take it, and nothing else: there is no metadata routing"
AT_LEAST_1 = "max_iter is at least 1 here"
DEPRECATED = "of parameters that scikit-learn deprecates"
ELSEWHERE = {
    "test_check_solver_option": TEXTS,
    "test_max_iter": TEXTS,
    "test_elasticnet_l1_ratio_err_helpful": DEPRECATED,
    "test_l1_ratio_non_elasticnet": DEPRECATED,
    "test_penalty_none": DEPRECATED,
    "test_penalty_deprecated": DEPRECATED,
    "test_l1_ratio_None_deprecated": DEPRECATED,
    "test_logisticregression_warns_with_n_jobs": DEPRECATED,
    "test_lr_penalty_l1ratio_incompatible": DEPRECATED,
    "test_elastic_net_l1_l2_equivalence": DEPRECATED,
    "test_logistic_regression_path_convergence_fail": PRIVATE,
    "test_logistic_cv_multinomial_score": PRIVATE,
    "test_logistic_regression_path_coefs_multinomial": PRIVATE,
    "test_logistic_regression_path_init_coefs": PRIVATE,
    "test_liblinear_dual_random_state": LIBLINEAR,
    "test_liblinear_with_large_values": LIBLINEAR,
    "test_liblinear_multiclass_raises": LIBLINEAR,
    "test_large_sparse_matrix*liblinear*": LIBLINEAR,
    "test_large_sparse_matrix*sag*": "of sag's and saga's own limits",
    "test_dtype_match*liblinear*": LIBLINEAR,
    "test_logistic_cv_folds_with_classes_missing": "coef_ cannot be set; test_cross_validation.py compares such scores",
    "test_lr_cv_scores_differ_when_sample_weight_is_requested": ROUTING,
    "test_passing_params_without_enabling_metadata_routing": ROUTING,
    "test_logisticregressioncv_warns_with_use_legacy_attributes": DEPRECATED,
    "test_lr_scoring_warns": DEPRECATED,
    "test_get_default_scorer": PRIVATE,
    "test_newton_cholesky_fallback_to_lbfgs": "of how its newton-cholesky hands on to its lbfgs",
    "test_logistic_regression_callback_support_warning": "all solvers have callbacks here",
    "test_logistic_regression_callback_support?0?": AT_LEAST_1,
    "test_zero_max_iter": AT_LEAST_1,
    "test_elastic_net_vs_l1_l2?1?": "of scores that one random state gives where saga ends, at a tol of 0.01",
}

module = module_copy(
    "sklearn.linear_model.tests.test_logistic",
    sklearn__linear_model__LogisticRegression=LogisticRegression,
    sklearn__linear_model__LogisticRegressionCV=LogisticRegressionCV,
)
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # some ask for 2 iterations
pytestmark = [module.pytestmark, unconverged]
OTHER_ARRAYS = "test_logistic_regression_array_api"  # of arrays that are not NumPy's; pytest cannot collect it
names = [name for name in vars(module) if name.startswith("test_") and not name.startswith(OTHER_ARRAYS)]
globals().update({name: vars(module)[name] for name in names})


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skips what SoftmaxClassifier does not have."""
    skip_what_does_not_apply(request, ELSEWHERE)


def test_the_table_names_tests_that_there_are() -> None:
    """None has another name by now."""
    check_table(ELSEWHERE, names)
    assert np.isfinite(module.LogisticRegression().fit([[0.0], [1.0]], [0, 1]).coef_).all()
