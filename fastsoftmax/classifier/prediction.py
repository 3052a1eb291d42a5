"""What a fitted classifier predicts: logits, classes, probabilities and scores of samples, calibrated or not.

inference.py has the arithmetic, and the checks of X that can be left out.
"""

import contextlib
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import num_threads
from fastsoftmax.classifier.inference import Question, is_plain, likeliest_of, logits_of, logits_of_classes, probs_of
from fastsoftmax.classifier.labels import is_soft, plain_labels, read_known_labels
from fastsoftmax.classifier.samples import checked_samples
from fastsoftmax.data.source import refuse_source
from fastsoftmax.functional.inference import is_finite
from fastsoftmax.training.network import layer_inputs


class PredictingClassifier(ClassifierMixin, BaseEstimator):
    """The part of SoftmaxClassifier that predicts."""

    activation: str
    n_threads: int | None
    classes_: Array
    coefs_: list[Any]
    intercepts_: list[Array]
    n_outputs_: int
    temperature_: float

    def _threads(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.n_threads is None else num_threads(self.n_threads)

    def _answer(self, X: Any, question: Question) -> Array:
        """What a question (inference.py) makes of the last layer, for samples that scikit-learn's checks let pass."""
        with self._threads():
            if is_plain(X, vars(self)):
                answer, shows_finite = question(*self._last_layer(X))
                if shows_finite or is_finite(X):
                    return answer
            check_is_fitted(self, "coefs_")
            refuse_source(X)
            X = checked_samples(X)
            X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32], order="C")
            return question(*self._last_layer(X))[0]

    def _last_layer(self, X: Any) -> tuple[Any, Any, Array]:
        """What the last layer is given, its weight (n_outputs_, n_in), sparse after `sparsify`, and its bias."""
        layers = [(coef.T, intercept) for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)]
        return layer_inputs(X, layers, self.activation)[-1], *layers[-1]

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes), or (n_samples,) for two classes
            Not divided by temperature_.

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> (model.decision_function(X) > 0).tolist()  # of two classes one number, that of the second, "low"
        [True, True, False, False]
        """
        logits = self._answer(X, logits_of)
        return logits.ravel() if self.n_outputs_ == 1 else logits

    def predict(self, X: ArrayLike) -> Array:
        """The most probable class of each sample.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples,)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.predict([[0.2], [2.7]])
        array(['low', 'high'], dtype='<U4')
        """
        best = self._answer(X, likeliest_of)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities of the classes, in the order of classes_.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.classes_
        array(['high', 'low'], dtype='<U4')
        >>> model.predict_proba([[1.5]]).round(3)
        array([[0.5, 0.5]])
        """
        return self._answer(X, lambda *layer: probs_of("softmax", self.temperature_, *layer))

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Logarithms of the probabilities, which stay finite where those are 0.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.predict_proba([[1e6]])[0, 1], np.isfinite(model.predict_log_proba([[1e6]])).all()
        (np.float64(0.0), np.True_)
        """
        return self._answer(X, lambda *layer: probs_of("log_softmax", self.temperature_, *layer))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy: the share of the samples whose predicted class is right.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)
        y : array_like (n_samples,) or (n_samples, n_classes)
            Of probabilities, the most probable class counts.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        float

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.score(X, y), model.score([[0.2], [2.7]], ["low", "low"])
        (1.0, 0.5)
        """
        y = plain_labels(y)
        predicted = self.predict(X)
        right = self.classes_[read_known_labels(y, np.float64, self.classes_).hard] if is_soft(y) else y
        return float(accuracy_score(right, predicted, sample_weight=sample_weight))

    def fit_temperature(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Calibrate predict_proba by a temperature (Guo et al. 2017), on samples that were not trained on.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; y with classes that are known.

        Returns
        -------
        self
            With temperature_; what is predicted does not change.

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> model = fs.SoftmaxClassifier(alpha=1e-3).fit(X, y)  # sure of itself
        >>> model.fit_temperature([[0.0], [1.2], [2.0], [1.4]], [0, 0, 1, 1]).temperature_ > 1
        True
        """
        logits = self._answer(X, logits_of_classes)
        labels = read_known_labels(y, logits.dtype, self.classes_)
        self.temperature_ = functional.fit_temperature(logits, labels.targets, sample_weight=sample_weight)
        return self

    def __sklearn_tags__(self) -> Any:
        """Sparse X is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
