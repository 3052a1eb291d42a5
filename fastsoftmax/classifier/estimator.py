"""SoftmaxClassifier: the protocol of a scikit-learn classifier around training, and nothing else.

fit reads its parameters into Options (options.py) and its data (reading.py, labels.py), hands them with starting
weights to fitting.py, and sets the attributes that attributes.py makes of the Outcome, which LogisticRegression and
MLPClassifier have, too. prediction.py, fitted.py and linear.py have what it does with them.
"""

import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier import attributes
from fastsoftmax.classifier.checkpoint import Checkpoint
from fastsoftmax.classifier.fitting import Data, Outcome, pose, solve, tell
from fastsoftmax.classifier.labels import is_soft, plain_labels, read_labels
from fastsoftmax.classifier.linear import LinearClassifier
from fastsoftmax.classifier.options import (
    STOCHASTIC,
    Options,
    choose_solver,
    kept_descent,
    kept_params,
    network_of,
    new_descent,
    new_params,
    read_options,
)
from fastsoftmax.classifier.reading import is_read_by_parts, read_data, read_source
from fastsoftmax.classifier.reports import (
    Callbacks,
    CallbackSupportMixin,
    Report,
    progress_bar,
    warn,
    with_callbacks,
)
from fastsoftmax.classifier.state import State, state_of
from fastsoftmax.classifier.streams import Stream
from fastsoftmax.classifier.unfinished import Unfinished, misfit
from fastsoftmax.data.files import from_arrays
from fastsoftmax.data.source import Source
from fastsoftmax.training.network import Network


def _is_stochastic(classifier: "SoftmaxClassifier") -> bool:
    if classifier.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic solvers, sgd and adam; this is {classifier.solver!r}"
        )
    return True


class SoftmaxClassifier(CallbackSupportMixin, LinearClassifier):
    r"""Softmax regression, or a network of dense layers with softmax on top.

    Minimises :math:`\frac1S (\sum_n s_n L_n + \frac{\alpha}{2} \sum_k \|W_k\|^2)`, where :math:`L_n` is the loss of a
    sample, :math:`s_n` its weight and :math:`S = \sum_n s_n`; intercepts are not penalised. Without hidden layers
    this is LogisticRegression's objective with :math:`C = 1/\alpha`, and the minimum is the same. Of two classes the
    first has logits 0, so that there is one logit a sample, as in LogisticRegression and MLPClassifier. With l1_ratio
    :math:`\rho` the penalty is :math:`\alpha (\frac{1 - \rho}{2} \sum_k \|W_k\|^2 + \rho \sum_k |W_k|_1)`.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, or int, default ()
        Units of each hidden layer; no layer is softmax regression.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    loss : {"cross_entropy", "squared_error"}
        Of the probabilities; squared_error is :math:`\sum_c (p_c - t_c)^2` (the Brier score), and not convex.
    solver : {"auto", "lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam"}
        newton-cg takes few iterations, and is for linear models. newton-cholesky is for those of few features and
        classes and the cross-entropy: it takes the fewest, but builds the Hessian, 8 ((C - 1) (D + 1))^2 bytes, has a
        copy of it, and half of one for each thread.
        coordinate-descent is for L1: proximal Newton for a linear model with the cross-entropy and alpha > 0; of X it
        has a copy by columns. lbfgs takes L1, too (of such models), without a copy, in more iterations. sgd and adam
        take mini-batches. auto is coordinate-descent if l1_ratio > 0 (lbfgs where X is a source), else newton-cholesky
        where that is possible and fast, because N (C (C - 1) (D + 1)^2 / 4 + 100) is at most 500 000
        for N samples, D features and C classes; else lbfgs.
    alpha : float, default 1.0
        Strength of the penalty, for the whole data set: that of LogisticRegression(C=1/alpha).
    l1_ratio : float, default 0.0
        Between 0 and 1: the part of L1 in the penalty, as LogisticRegression has it. Above 0 for coordinate-descent
        and lbfgs only. With L1 alone and an even number of classes the minimum may be taken at more than one place:
        then the sum of squares of each feature's weights is the least.
    fit_intercept : bool, default True
        Whether layers have biases.
    class_weight : dict {class: weight} or "balanced", optional
        Multiplies the weights of samples; "balanced" gives each class the same total weight.
    label_smoothing : float, default 0.0
        Between 0 and 1: how much of each target is spread evenly over the classes.
    batch_size : int or "auto", default "auto"
        Samples in a step of sgd and adam; "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}
        For sgd: as learning_rate_init; falling as learning_rate_init / t^power_t; or divided by 5 when
        n_iter_no_change epochs bring no progress.
    learning_rate_init : float or "auto", default "auto"
        "auto" is 0.001 for a network, as in MLPClassifier, and 0.01 for a linear model.
    power_t : float, default 0.5
    max_iter : int, default 200
        Iterations; epochs of sgd and adam.
    shuffle : bool, default True
        Whether sgd and adam take the samples in another order in each epoch.
    random_state : int, RandomState instance or None
        Of the starting weights of hidden layers (uniform, Glorot & Bengio 2010), the order and the validation set.
    tol : float, default 1e-4
        lbfgs and newton-cg end when the norm of the gradient of the objective F is at most 25 tol sqrt(F + tol), in
        coordinates in which features are standardised, those that are nearly combinations of one another are made
        independent (up to 256 features), and the Hessian at the start is about the identity; newton-cg if besides
        conjugate gradients find no more than max(1e-4 F, tol / 100) left to gain; newton-cholesky when half of the
        square of Newton's decrement, about what is left to gain, is at most (25 tol)^2 (F + tol) / 2. By default F is
        then within about a thousandth of the minimum. (In float64, on an X of up to 4 million numbers, lbfgs goes
        the first part of the way on a copy in float32; the gradient that ends it is exact.) Of a network, lbfgs ends
        when no component of the gradient exceeds tol, or F falls by less than tol / 1000 of itself. coordinate-descent,
        and lbfgs with l1_ratio > 0, end when the duality gap is at most tol (F + tol). sgd and adam end when
        n_iter_no_change epochs do not improve by tol.
    verbose : bool or int, default 0
        Whether a progress bar with the loss is drawn on stderr.
    warm_start : bool, default False
        Whether fit starts from the present weights. Classes that are new start at zero; others are dropped.
    momentum, nesterovs_momentum : float, default 0.9; bool, default True
        Of sgd.
    early_stopping, validation_fraction : bool, default False; float, default 0.1
        Whether sgd and adam watch the accuracy on so large a part of the samples, which they leave out, instead of
        the loss, and end with the best weights.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of adam.
    n_iter_no_change : int, default 10
        np.inf: none of them ends sgd and adam before max_iter.
    backward : {"fused", "vjp", "jacobian"}
        How the gradient is computed: the same up to rounding, at a different price.
    n_threads : int, optional
        For this classifier's calls; by default what `set_num_threads` says.
    checkpoint : str or path-like, optional
        A file that fit writes after every checkpoint_every iterations, and at the end: what `save` writes, and with it
        what sgd and adam need to go on. It is replaced at once, so that it is whole whenever the process ends; if it
        cannot be written, fit warns once and goes on. Classifiers that are fitted at the same time (clones, too) need
        files of their own. See Notes.
    checkpoint_every : int, default 10

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    coef_, intercept_ : ndarray (n_classes, n_features) and (n_classes,), or (1, n_features) and (1,) for two classes
        Without hidden layers only. They may be set, to weights from elsewhere, also before fit: then coef_ first, and
        classes_, too.
    coefs_, intercepts_ : list of ndarray (n_in, n_out) and (n_out,)
        Of each layer, as MLPClassifier has them.
    dual_gap_ : float or None
        Of coordinate-descent, and of lbfgs with l1_ratio > 0, the duality gap at the end: F is above its minimum by no
        more (of lbfgs in float32: but for the rounding of the gradient). None else.
    n_iter_ : int; of a linear model by a solver other than sgd and adam an ndarray (1,), as LogisticRegression has it
        Iterations of the last fit.
    t_ : int
        Samples seen by sgd and adam.
    loss_, best_loss_, loss_curve_ : float, float or None, list of float
        The objective: at the end, at its best, and after each iteration (as met in the epoch for sgd and adam).
    validation_scores_, best_validation_score_ : list of float and float, or None
    validation_loss_curve_ : list of float, or None
        With early_stopping, the mean loss of the samples that were left out after each epoch: weighted by
        sample_weight, and without penalty and class_weight.
    temperature_ : float
        Divides the logits in predict_proba; 1 until `fit_temperature`, and again after more training.
    n_layers_, n_outputs_, n_features_in_, feature_names_in_
        As in MLPClassifier.

    Notes
    -----
    Kernels are compiled at the first fit on a machine, and kept.

    A fit that did not come to its end goes on from its checkpoint, with the same X, y and sample_weight, by ::

        model = SoftmaxClassifier.load(path).set_params(warm_start=True, checkpoint=path)
        model.fit(X, y)

    With sgd and adam weights, curves and predictions are then, bit for bit, those of a fit that was never interrupted:
    momentum, learning rate, order of the samples, validation set, best weights and patience are in the file, and
    max_iter counts all epochs. Parameters may be changed in between; of learning_rate_init, momentum, beta_1, beta_2
    and epsilon the old ones hold, as in partial_fit. (Until the end coef_ of an early_stopping fit are the last
    weights, not the best.) The other solvers start again from the weights that they had reached: their curvature is
    not kept, so the minimum is the same within tol but not the bits, and n_iter_ and max_iter count the new iterations
    alone. From the file of a fit that came to its end any solver starts anew from the weights, as warm_start says, and
    so does one whose data or solver are others, with a warning. partial_fit writes no checkpoint: `save` keeps all that
    it goes on from.

    Sources (``fastsoftmax.data.from_files``, ``from_blocks``) need not fit into memory: two runs of rows, of 32 or 64
    MB each, are in memory at a time, one that is read while kernels work on the other. lbfgs (with L1, too), newton-cg
    and newton-cholesky give the same coefficients, bit for bit, as for arrays with the same rows. sgd and adam take
    the runs in another order in each epoch (from_blocks: in their order), and the rows of each run in another order,
    one run after the other; a batch does not reach over the end of a run. So they differ from those for arrays, where
    an epoch's order is one of all rows. early_stopping leaves validation_fraction of the rows of each run out, always
    the same ones, and predicts them when the run has been taken: scores and losses are as met in the epoch, like
    loss_curve_, and weighted by class_weight, too. Not for sources: coordinate-descent, backward other than "fused",
    and partial_fit, which is called for each block instead::

        for block in source.blocks():
            model.partial_fit(block.X, block.y, classes)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastsoftmax import SoftmaxClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> SoftmaxClassifier().fit(X, y).score(X, y)
    0.97...
    """

    loss_curve_: list[float]
    coefs_: list[Any]

    def __init__(
        self,
        hidden_layer_sizes: int | Iterable[int] = (),
        activation: str = "relu",
        *,
        loss: str = "cross_entropy",
        solver: str = "auto",
        alpha: float = 1.0,
        l1_ratio: float = 0.0,
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float | str = "auto",
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: int = 0,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        backward: str = "fused",
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.backward = backward
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    @attributes.kept_until("coefs_")
    @with_callbacks
    def fit(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the weights that minimise the objective.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features), or a source of `fastsoftmax.data`
            float32 and float16 are trained in float32, everything else in float64. Sparse formats other than CSR are
            converted. A source, which brings y and sample_weight itself, is read in each pass over the rows (see
            Notes); so is a numpy.memmap of another dtype or in Fortran order, by the solvers that look at all rows in
            each iteration.
        y : array_like (n_samples,) or (n_samples, n_classes)
            Labels of any kind that scikit-learn takes; or the probabilities of the classes for each sample, which are
            called 0 to n_classes - 1.
        sample_weight : array_like (n_samples,), optional
            An integer weight means as much as so many equal samples.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or argument that cannot be used, by its name; a loss that is not finite: then the classifier
            has the last good weights.

        Warns
        -----
        ConvergenceWarning
            max_iter is reached first, or rounding lets no step go down any more; features were left out, because the
            dtype cannot hold weights for values so small or large (float32: beyond 1e30, float64: beyond 1e280).
        UserWarning
            A KeyboardInterrupt: the classifier has the last good weights; a checkpoint that cannot be written, or from
            which training cannot go on.

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = fs.SoftmaxClassifier().fit(X, y)
        >>> model.coef_.shape, model.classes_
        ((3, 4), array([0, 1, 2]))
        >>> fs.SoftmaxClassifier().fit([[0.0], [1.0]], [[0.9, 0.1], [0.2, 0.8]]).classes_  # probabilities as targets
        array([0, 1])
        """
        options = read_options(vars(self))
        if is_read_by_parts(X, options) and y is not None:
            X, y, sample_weight = from_arrays(X, y, sample_weight), None, None
        with self._threads():
            if isinstance(X, Source):
                return self._fit_stream(options, read_source(self, options, X, y, sample_weight))
            samples, given, by_row = read_data(self, X, plain_labels(y), sample_weight, reset=True)
            labels = read_labels(given, samples.dtype)
            data = Data(samples, labels, by_row)
            self._fit_data(options, data, samples.shape, labels.classes, samples.dtype)
        return self

    def _fit_stream(self, options: Options, stream: Stream) -> Self:
        """Find the weights for data that are read part by part, or lie elsewhere."""
        found = stream.found
        self._fit_data(options, stream, (found.n_rows, found.n_features), found.classes, found.dtype)
        return self

    def _fit_data(
        self,
        options: Options,
        data: Data | Stream,
        shape: tuple[int, int],
        classes: Array,
        dtype: Any,
    ) -> None:
        """Train on data of a shape."""
        rng = check_random_state(self.random_state)
        options = choose_solver(options, *shape, len(classes), in_memory=isinstance(data, Data))
        network = network_of(options, shape[1], len(classes))
        if options.warm_start and hasattr(self, "coefs_"):
            params = kept_params(vars(self), network, dtype, classes)
        else:
            params = new_params(network, dtype, options.fit_intercept, rng)
        unfinished = self._goes_on_from(options, params, data, network, classes)
        self.classes_, self.temperature_, self.loss_curve_ = classes, 1.0, []
        if unfinished is None:
            self.t_, self._descent = 0, new_descent(options, params, rng) if options.is_stochastic else None
        else:
            self._descent = kept_descent(self._descent, options.solver)
        self._train(options, network, params, data, rng, options.max_iter, unfinished)

    def _goes_on_from(
        self, options: Options, params: Array, data: Data | Stream, network: Network, classes: Array
    ) -> Unfinished | None:
        """The training that the file of a checkpoint holds, if this one is to go on with it."""
        unfinished: Unfinished | None = vars(self).get("_unfinished")
        if unfinished is None or not options.warm_start:
            return None
        descent = kept_descent(self._descent, options.solver) if options.is_stochastic else None
        n_units, is_array = data.order_size(network), isinstance(data, Data)
        reason = misfit(unfinished, descent, params, n_units, is_array, options.early_stopping)
        if reason is None and np.array_equal(self.classes_, classes):
            return unfinished
        reason = reason or "the classes are others"
        warn(f"the unfinished training cannot go on, and starts anew from its weights: {reason}")
        return None

    @available_if(_is_stochastic)
    @attributes.kept_until("coefs_")
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take the samples once, from the present weights, with sgd or adam; momentum goes on from call to call.

        temperature_ is 1 again: what `fit_temperature` found was for the weights before.

        Parameters
        ----------
        X, y : as in `fit`
            y may lack some of the classes.
        classes : array_like (n_classes,), optional
            All classes that will come; needed in the first call if y does not hold probabilities.
        sample_weight : as in `fit`

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As in `fit`; a label that is not in classes.

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> rng = np.random.default_rng(0)
        >>> model = fs.SoftmaxClassifier(solver="sgd", learning_rate_init=0.1, random_state=0)
        >>> for _ in range(100):  # what comes in, batch by batch
        ...     X = rng.standard_normal((32, 2))
        ...     _ = model.partial_fit(X, X.argmax(axis=1), classes=[0, 1])
        >>> model.predict([[2.0, 0.0], [0.0, 2.0]])
        array([0, 1])
        """
        options = read_options(vars(self))
        if options.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if options.class_weight == "balanced":
            raise ValueError('partial_fit does not support class_weight="balanced": hand in a dict, or sample_weight')
        y = plain_labels(y)
        first = not hasattr(self, "coefs_")
        if classes is None and first and is_soft(y):
            classes = np.arange(np.shape(y)[1])
        with self._threads():
            _check_partial_fit_first_call(self, classes)
            if len(self.classes_) < 2:
                there = "".join(f"only one class: {only!r}" for only in self.classes_.tolist()) or "none"
                raise ValueError(f"classes must be at least 2, but there is {there}")
            samples, given, by_row = read_data(self, X, y, sample_weight, reset=first)
            dtype = samples.dtype if first else self.coefs_[0].dtype
            labels = read_labels(given, dtype, self.classes_)
            rng = check_random_state(self.random_state)
            network = network_of(options, samples.shape[1], len(labels.classes))
            if first:
                params = new_params(network, dtype, options.fit_intercept, rng)
                self.t_, self.loss_curve_ = 0, []
            else:
                params = kept_params(vars(self), network, dtype, labels.classes)
            descent = kept_descent(getattr(self, "_descent", None), options.solver)
            self._descent = descent or new_descent(options, params, rng)
            data = Data(samples.astype(dtype, copy=False), labels, by_row)
            self.temperature_ = 1.0
            self._train(options, network, params, data, rng, None)
        return self

    def _train(
        self,
        options: Options,
        network: Network,
        params: Array,
        data: Data | Stream,
        rng: np.random.RandomState,
        max_iter: int | None,
        unfinished: Unfinished | None = None,
    ) -> None:
        """Train from the parameters and keep what comes out; max_iter None: an epoch of partial_fit."""
        problem = pose(options, network, params, data, rng, self._descent, self.t_, max_iter, unfinished)
        checkpoint = None
        if max_iter is not None and self.checkpoint is not None:
            checkpoint = Checkpoint(self.checkpoint, self.checkpoint_every, self._state_after)
        given = data.for_callbacks() if isinstance(data, Data) else {}
        callbacks = Callbacks(self, max_iter, given, lambda now: attributes.of_params(network, now))
        with progress_bar(options.verbose and max_iter is not None, type(self).__name__, max_iter or 1) as draw:
            callbacks.begin(params)
            report: Report = lambda now, loss: draw(now, loss) or callbacks.report(now, loss)  # noqa: E731
            outcome = solve(problem, report, checkpoint.keep if checkpoint else None)
        for name, value in {**self._fitted_by(outcome), "_unfinished": None}.items():
            setattr(self, name, value)
        if outcome.training.failed:
            self._descent = None  # its momentum is spoiled
        elif checkpoint is not None and not outcome.training.interrupted:
            checkpoint.write(self._state_after)
        callbacks.end(params)
        tell(problem, outcome, getattr(self, "feature_names_in_", None))

    def _fitted_by(self, outcome: Outcome) -> dict[str, Any]:
        """The attributes that come out of a training."""
        return attributes.of_outcome(outcome, self.loss_curve_, self.t_)

    def _state_after(self, outcome: Outcome | None = None, unfinished: Unfinished | None = None) -> State:
        """What a checkpoint holds; by default that of a fit which has come to its end."""
        fitted = {} if outcome is None else self._fitted_by(outcome)
        return state_of(self.get_params(deep=False), {**vars(self), **fitted, "_unfinished": unfinished})


def fitted_classifier(
    params: dict[str, Any],
    classes: Array,
    network: Network,
    weights: Array,
    n_iter: int = 0,
    feature_names: Array | None = None,
) -> SoftmaxClassifier:
    """A SoftmaxClassifier of these parameters whose weights come from elsewhere."""
    model = SoftmaxClassifier(**params)
    for name, value in attributes.of_weights(network, weights, classes, n_iter, feature_names).items():
        setattr(model, name, value)
    return model
