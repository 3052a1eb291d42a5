"""scikit-learn's own checks of an estimator, legacy ones too: no failure is expected."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastsoftmax import SoftmaxClassifier

CHECKED = [
    *(SoftmaxClassifier(solver=solver) for solver in ("lbfgs", "newton-cg", "sgd", "adam")),
    *(SoftmaxClassifier((16,), solver=solver) for solver in ("lbfgs", "sgd", "adam")),
    SoftmaxClassifier(loss="squared_error"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(CHECKED, legacy=True)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
