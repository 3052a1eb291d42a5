"""scikit-learn's own tests of MLPClassifier, of SoftmaxClassifier with MLPClassifier's defaults."""

from typing import Any

import pytest
import sklearn
from peers import check_table, module_copy, skip_what_does_not_apply

import fastsoftmax as fs

if not sklearn.__version__.startswith("1.9."):
    pytest.skip("the table below is of scikit-learn 1.9's tests", allow_module_level=True)


class MLPClassifier(fs.SoftmaxClassifier):
    """A SoftmaxClassifier with the parameters and defaults of MLPClassifier."""

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
    ) -> None:
        super().__init__(**{name: value for name, value in locals().items() if name not in ("self", "__class__")})


PRIVATE = "of a private attribute or method of MLPClassifier's"
REGRESSION = "of MLPRegressor"
MULTILABEL = "several labels a sample are not for a softmax"
ELSEWHERE = {
    "test_fit": PRIVATE,
    "test_gradient": PRIVATE,
    "test_learning_rate_warmstart": PRIVATE,
    "test_adaptive_learning_rate": PRIVATE,
    "test_n_iter_no_change": PRIVATE,
    "test_n_iter_no_change_inf": PRIVATE,
    "test_lbfgs_classification_maxfun": "no max_fun: max_iter ends the solver",
    "test_multilabel_classification": MULTILABEL,
    "test_predict_proba_multilabel": MULTILABEL,
    "test_verbose_sgd": "progress is a bar on stderr here",
    "test_warm_start": "a warm start takes other classes here",
    "test_early_stopping_stratified": "the text of an error: the validation set is too small here, too",
    "test_preserve_feature_names": "one class is none here; names of features are tested by check_estimator",
    "*MLPRegressor*": REGRESSION,
    "test_lbfgs_regression*": REGRESSION,
    "test_multioutput_regression": REGRESSION,
    "test_partial_fit_regression": REGRESSION,
    "test_nonfinite_params": REGRESSION,
    "test_shuffle": REGRESSION,
    "test_mlp_regressor_dtypes_casting": REGRESSION,
    "test_mlp_loading_from_joblib_partial_fit": REGRESSION,
    "test_mlp_diverging_loss": REGRESSION,
    "test_mlp_sample_weight_with_early_stopping": REGRESSION,
    "test_mlp_vs_poisson_glm_equivalent": REGRESSION,
    "test_minimum_input_sample_size": REGRESSION,
}

module = module_copy("sklearn.neural_network.tests.test_mlp", sklearn__neural_network__MLPClassifier=MLPClassifier)
names = [name for name in vars(module) if name.startswith("test_")]
globals().update({name: vars(module)[name] for name in names})


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skips what SoftmaxClassifier does not have."""
    skip_what_does_not_apply(request, ELSEWHERE)


def test_the_table_names_tests_that_there_are() -> None:
    """None has another name by now."""
    check_table(ELSEWHERE, names)
    assert module.MLPClassifier is MLPClassifier
