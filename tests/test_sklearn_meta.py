"""scikit-learn's own tests of what is built around a classifier, with ours inside, by LogisticRegression's parameters;
and of what those leave out, ours beside LogisticRegression. Of 3822 of their tests in modules with a LogisticRegression
3793 pass; the other 29 have its results at default tol, its words or its solver sag written down. These are quick ones.
"""

import warnings
from typing import Any, Self

import numpy as np
import pytest
import sklearn
from peers import module_copy
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import AdaBoostClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression as Theirs
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, learning_curve, validation_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastsoftmax as fs
from fastsoftmax.classifier.options import SOLVERS

if not sklearn.__version__.startswith("1.9."):
    pytest.skip("the tests below are scikit-learn 1.9's", allow_module_level=True)

unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # some ask for few iterations
theirs = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning", "ignore::FutureWarning")
pytestmark = [unconverged, theirs]


class LogisticRegression(fs.SoftmaxClassifier):
    """A SoftmaxClassifier by LogisticRegression's parameters."""

    def __init__(
        self,
        C: float = 1.0,
        *,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
    ) -> None:
        super().__init__(
            tol=tol,
            fit_intercept=fit_intercept,
            class_weight=class_weight,
            random_state=random_state,
            max_iter=max_iter,
        )
        self.C = C
        self.solver = solver

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self.alpha, given = 1 / self.C, self.solver
        self.solver = given if given in SOLVERS else "auto"
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.solver = given


CHOSEN = {
    "ensemble.tests.test_voting": [
        "majority_label_iris", "tie_situation", "weights_iris", "predict_on_toy_problem",
        "predict_proba_on_toy_problem", "set_estimator_drop", "estimator_weights_format", "transform",
        "none_estimator_with_weights", "get_features_names_out_classifier",
    ],
    "ensemble.tests.test_stacking": [
        "stacking_classifier_sparse_passthrough", "stacking_classifier_stratify_default", "stacking_prefit",
        "stacking_prefit_error", "stacking_without_n_features_in", "get_feature_names_out",
    ],
    "ensemble.tests.test_bagging": ["probability", "estimators_samples", "estimators_samples_deterministic"],
    "tests.test_multioutput": [
        "multi_output_not_fitted_error", "classifier_chain_fit_and_predict_with_sparse_data",
        "classifier_chain_fit_and_predict", "base_chain_random_order", "support_missing_values",
    ],
    "tests.test_multiclass": ["ovr_always_present", "ovr_binary", "support_missing_values", "constant_int_target"],
    "tests.test_calibration": [
        "temperature_scaling", "calibration_votingclassifier",
        "calibrated_classifier_cv_double_sample_weights_equivalence",
    ],
    "model_selection.tests.test_classification_threshold": [
        "tuned_threshold_classifier_cv_zeros_sample_weights_equivalence",
        "fixed_threshold_classifier_equivalence_default", "fixed_threshold_classifier",
        "fixed_threshold_classifier_metadata_routing", "fixed_threshold_classifier_classes_",
    ],
    "model_selection.tests.test_search": ["search_html_repr", "unsupported_sample_weight_scorer"],
    "model_selection.tests.test_validation": [
        "cross_val_predict_input_types", "cross_val_predict_with_method_rare_class", "cross_val_predict_class_subset",
    ],
    "feature_selection.tests.test_rfe": ["w_pipeline_2d_coef_", "pipeline_with_nans", "rfe_sparse_coef"],
    "feature_selection.tests.test_from_model": ["sample_weight", "2d_coef", "importance_getter"],
    "semi_supervised.tests.test_self_training": ["early_stopping", "k_best_selects_best"],
    "inspection.tests.test_permutation_importance": [
        "permutation_importance_mixed_types", "permutation_importance_mixed_types_pandas",
    ],
    "inspection._plot.tests.test_boundary_decision_display": [
        "multiclass_predict", "dataframe_support", "string_target", "class_of_interest_binary",
        "class_of_interest_multiclass",
    ],
    "tests.test_pipeline": [
        "classes_property", "pipeline_methods_pca_classifier", "feature_names_count_vectorizer",
        "pipeline_set_output_integration", "pipeline_missing_values_leniency",
    ],
    "frozen.tests.test_frozen": ["frozen_methods", "frozen_params"],
}  # fmt: skip
FIXTURE = type(pytest.fixture(lambda: None))

for path, names in CHOSEN.items():
    module = module_copy(f"sklearn.{path}", sklearn__linear_model__LogisticRegression=LogisticRegression)
    short = path.rpartition(".test_")[2]
    globals().update({f"test_{short}_{name}": vars(module)[f"test_{name}"] for name in names})
    globals().update({name: value for name, value in vars(module).items() if isinstance(value, FIXTURE)})


@pytest.fixture
def pyplot() -> Any:
    """matplotlib's, as scikit-learn's tests have it."""
    return pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")


# What those have no LogisticRegression in: the same minimum has to give the same results

CANCER, IRIS = load_breast_cancer(return_X_y=True), load_iris(return_X_y=True)
MINIMUM = {"solver": "newton-cholesky", "tol": 1e-8}


def both(alpha: float = 1.0) -> tuple[Any, Any]:
    return fs.SoftmaxClassifier(alpha=alpha, **MINIMUM), Theirs(C=1 / alpha, **MINIMUM)


def test_ada_boost() -> None:
    X, y = StandardScaler().fit_transform(CANCER[0]), CANCER[1]
    ours, others = (AdaBoostClassifier(model, n_estimators=4).fit(X, y) for model in both(1000.0))
    assert len(ours.estimators_) == 4
    assert np.allclose(ours.estimator_weights_, others.estimator_weights_, rtol=1e-6)
    assert np.array_equal(ours.predict(X), others.predict(X))
    assert np.allclose(ours.predict_proba(X), others.predict_proba(X), rtol=1e-6)
    assert ours.score(X, y) > 0.9


@pytest.mark.parametrize("search", [GridSearchCV, HalvingGridSearchCV])
def test_searches_find_what_they_find_with_theirs(search: Any) -> None:
    alphas, options = np.array([0.01, 0.3, 10.0, 300.0]), {"cv": 3}
    if search is HalvingGridSearchCV:
        options |= {"random_state": 0, "min_resources": 60}
    ours, others = both()
    ours = search(ours, {"alpha": alphas}, **options).fit(*IRIS)
    others = search(others, {"C": 1 / alphas}, **options).fit(*IRIS)
    assert ours.best_params_["alpha"] == 1 / others.best_params_["C"]
    assert np.array_equal(ours.cv_results_["mean_test_score"], others.cv_results_["mean_test_score"])
    assert len(set(ours.cv_results_["mean_test_score"])) > 1
    assert ours.best_score_ > 0.9


def test_curves_are_theirs() -> None:
    """By size of the training set, whose first parts have two classes of three or one; and by the penalty."""
    order = np.random.default_rng(0).permutation(150)
    X, y = IRIS[0][order], IRIS[1][order]
    ours, others = (learning_curve(model, X, y, train_sizes=[10, 40, 100], cv=3) for model in both())
    for a, b in zip(ours, others, strict=True):
        assert np.array_equal(a, b)
    assert ours[2][-1].mean() > 0.9
    steps = [make_pipeline(StandardScaler(), model) for model in both()]
    values = np.array([0.1, 1000.0])
    ours = validation_curve(steps[0], X, y, param_name="softmaxclassifier__alpha", param_range=values, cv=3)
    others = validation_curve(steps[1], X, y, param_name="logisticregression__C", param_range=1 / values, cv=3)
    for a, b in zip(ours, others, strict=True):
        assert np.array_equal(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        in_order = learning_curve(both()[0], *IRIS, train_sizes=[20, 90], cv=3, error_score=np.nan)
    assert np.isfinite(in_order[2]).all(axis=1).tolist() == [False, True]  # the first 20 are of one class
