"""The public estimators: which score, which target, and what every parameter means."""

from __future__ import annotations

from skwfm._supervised import WeightedClassifier, WeightedRegressor

__all__ = [
    "WeightedFFMClassifier",
    "WeightedFFMRegressor",
    "WeightedFMClassifier",
    "WeightedFMRegressor",
]


class WeightedFMRegressor(WeightedRegressor):
    """Factorization machine over weighted fields, for regression.

    Row i with weight ``w_ij`` of label j scores

    ``b + sum_j w_ij a_j + sum_{f < g} <S_f, S_g>``,  ``S_f = sum_{j in f} w_ij v_j``,

    over pairs of different fields; with every column its own field this is Rendle's
    factorization machine [1]_. Cost: O(nnz k) per row.

    Parameters
    ----------
    n_factors : int, default=8
        Length k of the factor vectors.
    loss : str, default="squared_error"
        ``"huber"`` counts errors beyond 1.35 robust standard deviations linearly
        only, so that outliers do little harm; ``"poisson"`` is for counts >= 0 and
        predicts ``exp`` of the score above. ``"ordinal"`` is for up to 100 levels,
        such as stars: each is a stretch of the score plus normal noise, whose ends
        ``"mcmc"`` draws too, and the prediction is the expected level.
    fields : "auto", array-like of int or FieldMap, default="auto"
        Field id of each column, or number of columns of each field. ``"auto"`` takes
        the map of a FieldCSR, each column of a dense array or all-numeric DataFrame as
        a field, and each column of a plain sparse matrix too, with a `FieldMapWarning`.
    intra_field : bool, default=False
        Also count pairs of labels inside one field.
    solver : str or subclass of torch.optim.Optimizer, default="auto"
        ``"adagrad"``, ``"sgd"`` and ``"ftrl"`` (FTRL-Proximal for the linear term,
        AdaGrad for the factors) take a step per row in the compiled core; without it,
        on another device than the CPU, or with dropout, the first two are torch's on
        mini-batches. ``"adam"`` always is, as is a name of ``torch.optim`` such as
        ``"AdamW"``, or a class. ``"lbfgs"`` is full-batch, deterministic and in
        float64. ``"mcmc"`` draws from the posterior by Gibbs sampling [3]_: it takes
        longer and predicts best, finds the penalties by itself, and says how sure a
        prediction is. ``"als"`` sets the vector of one label after the other to its
        best value. ``"auto"``: ``"lbfgs"`` up to 1000 rows and 2**20 factors, above
        ``"adagrad"`` in the core, else ``"adam"``.
    solver_params : dict or None, default=None
        Further arguments of an optimizer of torch, such as ``{"momentum": 0.9}``.
    adagrad_state : {"row", "weight"}, default="row"
        AdaGrad in the core: a state for the whole vector of a label, which halves the
        memory, or for each of its numbers.
    learning_rate : float or "auto", default="auto"
        First step of the solver; `learning_rate_schedule` says how it goes on. In the
        core it is relative to rows of unit length: 0.5 with ``"auto"`` (sgd: 0.2).
        Elsewhere: 0.02 (adam), 0.05 (adagrad, sgd), 1 (lbfgs), and the own default of
        another optimizer, or 0.01.
    learning_rate_linear : float or "auto", default="auto"
        The same for linear coefficients and intercept, in the core only: 0.2 with
        ``"auto"`` (sgd: 0.1).
    learning_rate_schedule : str, default="auto"
        ``"cosine"`` (which is ``"auto"``), ``"linear"`` and ``"exponential"`` fall to
        0.01 of the first step over `max_iter` epochs, ``"inverse_sqrt"`` as
        ``1 / sqrt(epoch)``; ``"constant"`` does not. A scheduler among `callbacks`
        takes its place, and ``"lbfgs"`` has none.
    l1_linear : float, default=0.0
        Penalty ``l1_linear |a|_1`` on the linear coefficients, relative to the sum of
        the losses of all epochs; ``"ftrl"`` only. Coefficients become exactly 0.
    l2_linear : float, default=5.0
        Penalty ``1/2 l2_linear |a|^2`` on the linear coefficients, relative to the
        *sum* of the losses as in ridge regression, the target having been scaled
        to variance 1.
    l2_factors : float, default=20.0
        The same for the factors.
    dropout : float, default=0.0
        Probability, in [0, 1), that a training row leaves out each of the `n_factors`
        dimensions, the others counting ``1 / (1 - dropout)``-fold [2]_; predictions
        use all. Torch trains on mini-batches then; not by ``"ftrl"`` or ``"lbfgs"``.
    max_iter : int or "auto", default="auto"
        Passes over the rows; ten iterations each for ``"lbfgs"``. ``"auto"`` is 20, 50
        for ``"als"`` and 200 for ``"mcmc"``, which sweep over the labels.
    n_burn_in : int or "auto", default="auto"
        ``"mcmc"``: sweeps whose draws do not count, before the chain has found its
        place. ``"auto"``: a tenth of `max_iter`, and none with `warm_start`.
    n_kept : int, default=100
        ``"mcmc"``: how many of the draws after that are kept, evenly spread.
        Predictions are the mean over these, and take as many times as long.
    batch_size : int or "auto", default="auto"
        Rows per mini-batch; ``"auto"`` makes about 64 of them a pass. In the core a
        step is one row, and this is the number of rows between two callbacks.
    init_scale : float, default=0.01
        Standard deviation of the factors at the start.
    fit_intercept : bool, default=True
        Whether there is an intercept.
    fit_linear : bool, default=True
        Whether there are linear coefficients.
    early_stopping : bool or "auto", default="auto"
        Hold out `validation_fraction` of the rows, stop when their loss has not
        improved by `tol` for `n_iter_no_change` epochs and keep the parameters of the
        last epoch that did.
        ``"auto"``: with more than 200,000 rows, or 10,000 whose mean squared norm is
        above 12, unless the solver is ``"lbfgs"``.
        Without it, the training loss is watched in the same way.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=5
        Epochs without improvement before stopping; 1 for ``"lbfgs"``, whose loss does
        not fluctuate, unless rows are held out.
    tol : float, default=1e-4
        Relative improvement of the loss that counts.
    warm_start : bool, default=False
        `fit` starts from the parameters, and what the steps have become, of the `fit`
        or `partial_fit` before; X may have further columns at the end. The epochs are
        added to `history_` and `n_iter_`.
    callbacks : list of skorch callbacks, optional
        They run in the training loop. Those of scikit-learn (from 1.9) are given to
        `set_callbacks`.
    device : str, default="auto"
        ``"auto"`` (the CPU for what the compiled core does, else CUDA if there is one),
        ``"cpu"``, ``"cuda"``, ``"mps"``. A model fitted on a device that is not there
        predicts on the CPU.
    n_jobs : int or None, default=None
        Threads of the compiled core; None is 1, -1 all processors. Predictions are the
        same to the bit for any number, as is training by ``"als"`` and ``"mcmc"``;
        otherwise it is reproducible with 1 only, since threads share the table (each
        has copies of the labels that most rows have).
    random_state : int, RandomState or None, default=None
        Decides the start, the order of the rows and the rows held out.
    verbose : int, default=0
        Above 0, print a line per epoch.

    Attributes
    ----------
    intercept_ : float
        The bias b, in the units of y.
    coef_ : array of shape (n_columns,)
        Linear coefficients a, one per (encoded) column.
    factors_ : array of shape (n_columns, k)
        Factor vectors v, one row per (encoded) column.
    fields_ : array of int32, shape (n_columns,)
        Field of each (encoded) column.
    field_names_ : tuple of str
        Name of each field.
    n_fields_ : int
        Number of fields F.
    field_transformer_ : FieldTransformer or None
        What encodes a DataFrame whose columns are not all numbers.
    history_ : dict of list
        Per epoch: ``train_loss``, ``valid_loss`` with early stopping, ``seconds``,
        ``learning_rate`` and what scoring callbacks recorded. Losses are per row and,
        for regression, of the standardised target; that of ``"lbfgs"`` includes the
        penalty and is that before the epoch; that of ``"als"`` includes it too. With
        ``"mcmc"`` also ``noise`` (its standard deviation) and for each field
        ``precision_<field>``, ``linear_precision_<field>`` and, where labels have
        their own noise, ``noise_freedom_<field>``.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch whose parameters were kept, from 1; 0 is the start.
    statistics_ : dict
        Sums over the training rows: ``n_rows``, their weight; per column ``count`` of
        rows that hold the label, ``weight`` and ``square`` of the weights; per field
        ``bag_square`` of the total of a bag. Estimates from 32,768 rows or more.
    solver_state_ : object
        What `partial_fit` and `warm_start` go on from: counts of labels, sums of
        squared gradients. Predictions do not need it.
    samples_ : object
        Draws of ``solver="mcmc"``: ``factors`` of shape (n_kept, n_columns, k),
        ``linear`` of shape (n_kept, n_columns), ``intercept`` and ``noise`` of shape
        (n_kept,). `factors_` is their mean once they are turned to lie on each other,
        `coef_` and `intercept_` are means.
    levels_ : array of shape (n_levels,)
        Values of the target with ``loss="ordinal"``.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : array of str
        Their names, if all are strings.
    module_ : torch.nn.Module
        The fitted model as a torch module.

    See Also
    --------
    WeightedFFMRegressor : One vector per label and field.
    WeightedFMClassifier : The same for classes.

    Notes
    -----
    The training loop is a skorch net. The fitted state is numpy only.

    References
    ----------
    .. [1] S. Rendle, "Factorization Machines", IEEE International Conference on Data
           Mining, 2010.
    .. [2] X. He, T.-S. Chua, "Neural Factorization Machines for Sparse Predictive
           Analytics", ACM SIGIR Conference, 2017: its dropout, without hidden layers.
    .. [3] S. Rendle, "Factorization machines with libFM", ACM Transactions on
           Intelligent Systems and Technology 3(3), 2012. Here the whole vector of a
           label is drawn at once, labels of one field that are about as frequent share
           a prior, and each label has its own noise.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> films = pd.DataFrame({
    ...     "genres": [["Drama"], ["Drama", "War"], ["Comedy"], ["Comedy", "War"]] * 10,
    ...     "country": ["FR", "US", "FR", "US"] * 10,
    ... })
    >>> rating = [4.0, 4.5, 2.0, 3.5] * 10
    >>> fm = WeightedFMRegressor(random_state=0).fit(films, rating)
    >>> fm.field_names_
    ('genres', 'country')
    >>> fm.predict(films[:4]).round(1)
    array([3.8, 4.4, 2.4, 3.4])
    """

    _interactions = "fm"


class WeightedFMClassifier(WeightedClassifier):
    """Factorization machine over weighted fields, for classification.

    Row i with weight ``w_ij`` of label j scores

    ``b + sum_j w_ij a_j + sum_{f < g} <S_f, S_g>``,  ``S_f = sum_{j in f} w_ij v_j``,

    over pairs of different fields; with every column its own field this is Rendle's
    factorization machine [1]_. Cost: O(nnz k) per row.

    Parameters
    ----------
    n_factors : int, default=8
        Length k of the factor vectors.
    fields : "auto", array-like of int or FieldMap, default="auto"
        Field id of each column, or number of columns of each field. ``"auto"`` takes
        the map of a FieldCSR, each column of a dense array or all-numeric DataFrame as
        a field, and each column of a plain sparse matrix too, with a `FieldMapWarning`.
    intra_field : bool, default=False
        Also count pairs of labels inside one field.
    solver : str or subclass of torch.optim.Optimizer, default="auto"
        ``"adagrad"``, ``"sgd"`` and ``"ftrl"`` (FTRL-Proximal for the linear term,
        AdaGrad for the factors) take a step per row in the compiled core; without it,
        on another device than the CPU, or with dropout, the first two are torch's on
        mini-batches. ``"adam"`` always is, as is a name of ``torch.optim`` such as
        ``"AdamW"``, or a class. ``"lbfgs"`` is full-batch, deterministic and in
        float64. ``"mcmc"`` draws from the posterior by Gibbs sampling [3]_, for two
        classes: it takes longer, finds the penalties by itself, and averages over what
        the data leave open. ``"auto"``: ``"lbfgs"`` up to 1000 rows and 2**20 factors,
        above ``"adagrad"`` in the core, else ``"adam"``.
    solver_params : dict or None, default=None
        Further arguments of an optimizer of torch, such as ``{"momentum": 0.9}``.
    adagrad_state : {"row", "weight"}, default="row"
        AdaGrad in the core: a state for the whole vector of a label, which halves the
        memory, or for each of its numbers.
    learning_rate : float or "auto", default="auto"
        First step of the solver; `learning_rate_schedule` says how it goes on. In the
        core it is relative to rows of unit length: 0.5 with ``"auto"`` (sgd: 0.2).
        Elsewhere: 0.02 (adam), 0.05 (adagrad, sgd), 1 (lbfgs), and the own default of
        another optimizer, or 0.01.
    learning_rate_linear : float or "auto", default="auto"
        The same for linear coefficients and intercept, in the core only: 0.2 with
        ``"auto"`` (sgd: 0.1).
    learning_rate_schedule : str, default="auto"
        ``"cosine"`` (which is ``"auto"``), ``"linear"`` and ``"exponential"`` fall to
        0.01 of the first step over `max_iter` epochs, ``"inverse_sqrt"`` as
        ``1 / sqrt(epoch)``; ``"constant"`` does not. A scheduler among `callbacks`
        takes its place, and ``"lbfgs"`` has none.
    l1_linear : float, default=0.0
        Penalty ``l1_linear |a|_1`` on the linear coefficients, relative to the sum of
        the losses of all epochs; ``"ftrl"`` only. Coefficients become exactly 0.
    l2_linear : float, default=1.0
        Penalty ``1/2 l2_linear |a|^2`` on the linear coefficients, relative to the
        *sum* of the losses as in ridge regression.
    l2_factors : float, default=20.0
        The same for the factors.
    dropout : float, default=0.0
        Probability, in [0, 1), that a training row leaves out each of the `n_factors`
        dimensions, the others counting ``1 / (1 - dropout)``-fold [2]_; predictions
        use all. Torch trains on mini-batches then; not by ``"ftrl"`` or ``"lbfgs"``.
    max_iter : int or "auto", default="auto"
        Passes over the rows; ten iterations each for ``"lbfgs"``. ``"auto"`` is 20, 50
        for ``"als"`` and 200 for ``"mcmc"``, which sweep over the labels.
    n_burn_in : int or "auto", default="auto"
        ``"mcmc"``: sweeps whose draws do not count, before the chain has found its
        place. ``"auto"``: a tenth of `max_iter`, and none with `warm_start`.
    n_kept : int, default=100
        ``"mcmc"``: how many of the draws after that are kept, evenly spread.
        Predictions are the mean over these, and take as many times as long.
    batch_size : int or "auto", default="auto"
        Rows per mini-batch; ``"auto"`` makes about 64 of them a pass. In the core a
        step is one row, and this is the number of rows between two callbacks.
    init_scale : float, default=0.01
        Standard deviation of the factors at the start.
    fit_intercept : bool, default=True
        Whether there is an intercept.
    fit_linear : bool, default=True
        Whether there are linear coefficients.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with `sample_weight`.
    early_stopping : bool or "auto", default="auto"
        Hold out `validation_fraction` of the rows, stop when their loss has not
        improved by `tol` for `n_iter_no_change` epochs and keep the parameters of the
        last epoch that did.
        ``"auto"``: with more than 200,000 rows, or 10,000 whose mean squared norm is
        above 12, unless the solver is ``"lbfgs"``.
        Without it, the training loss is watched in the same way.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=5
        Epochs without improvement before stopping; 1 for ``"lbfgs"``, whose loss does
        not fluctuate, unless rows are held out.
    tol : float, default=1e-4
        Relative improvement of the loss that counts.
    warm_start : bool, default=False
        `fit` starts from the parameters, and what the steps have become, of the `fit`
        or `partial_fit` before; X may have further columns at the end. The epochs are
        added to `history_` and `n_iter_`.
    callbacks : list of skorch callbacks, optional
        They run in the training loop. Those of scikit-learn (from 1.9) are given to
        `set_callbacks`.
    device : str, default="auto"
        ``"auto"`` (the CPU for what the compiled core does, else CUDA if there is one),
        ``"cpu"``, ``"cuda"``, ``"mps"``. A model fitted on a device that is not there
        predicts on the CPU.
    n_jobs : int or None, default=None
        Threads of the compiled core; None is 1, -1 all processors. Predictions are the
        same to the bit for any number, as is training by ``"als"`` and ``"mcmc"``;
        otherwise it is reproducible with 1 only, since threads share the table (each
        has copies of the labels that most rows have).
    random_state : int, RandomState or None, default=None
        Decides the start, the order of the rows and the rows held out.
    verbose : int, default=0
        Above 0, print a line per epoch.

    Attributes
    ----------
    intercept_ : float, or array of shape (n_classes,)
        The bias b.
    coef_ : array of shape (n_columns,) or (n_classes, n_columns)
        Linear coefficients a, one per (encoded) column.
    factors_ : array of shape (n_columns, k)
        With more than two classes (n_columns, n_classes, k).
        Factor vectors v, one row per (encoded) column.
    fields_ : array of int32, shape (n_columns,)
        Field of each (encoded) column.
    field_names_ : tuple of str
        Name of each field.
    n_fields_ : int
        Number of fields F.
    classes_ : array of shape (n_classes,)
        Labels of y, sorted.
    field_transformer_ : FieldTransformer or None
        What encodes a DataFrame whose columns are not all numbers.
    history_ : dict of list
        Per epoch: ``train_loss``, ``valid_loss`` with early stopping, ``seconds``,
        ``learning_rate`` and what scoring callbacks recorded. Losses are per row and,
        for regression, of the standardised target; that of ``"lbfgs"`` includes the
        penalty and is that before the epoch; that of ``"als"`` includes it too. With
        ``"mcmc"`` also ``noise`` (its standard deviation) and for each field
        ``precision_<field>``, ``linear_precision_<field>`` and, where labels have
        their own noise, ``noise_freedom_<field>``.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch whose parameters were kept, from 1; 0 is the start.
    statistics_ : dict
        Sums over the training rows: ``n_rows``, their weight; per column ``count`` of
        rows that hold the label, ``weight`` and ``square`` of the weights; per field
        ``bag_square`` of the total of a bag. Estimates from 32,768 rows or more.
    solver_state_ : object
        What `partial_fit` and `warm_start` go on from: counts of labels, sums of
        squared gradients. Predictions do not need it.
    samples_ : object
        Draws of ``solver="mcmc"``: ``factors`` of shape (n_kept, n_columns, k),
        ``linear`` of shape (n_kept, n_columns), ``intercept`` and ``noise`` of shape
        (n_kept,). `factors_` is their mean once they are turned to lie on each other,
        `coef_` and `intercept_` are means.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : array of str
        Their names, if all are strings.
    module_ : torch.nn.Module
        The fitted model as a torch module.

    See Also
    --------
    WeightedFFMClassifier : One vector per label and field.
    WeightedFMRegressor : The same for a real target.

    Notes
    -----
    The training loop is a skorch net; the loss is logistic for two classes, softmax
    for more. The fitted state is numpy only.

    References
    ----------
    .. [1] S. Rendle, "Factorization Machines", IEEE International Conference on Data
           Mining, 2010.
    .. [2] X. He, T.-S. Chua, "Neural Factorization Machines for Sparse Predictive
           Analytics", ACM SIGIR Conference, 2017: its dropout, without hidden layers.
    .. [3] S. Rendle, "Factorization machines with libFM", ACM Transactions on
           Intelligent Systems and Technology 3(3), 2012. Here the whole vector of a
           label is drawn at once, labels of one field that are about as frequent share
           a prior, and each label has its own noise.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import WeightedFMClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.choice([-1.0, 1.0], size=(400, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "different")
    >>> fm = WeightedFMClassifier(random_state=0).fit(X, y)
    >>> fm.score(X, y)
    1.0
    >>> fm.predict([[1.0, 1.0], [1.0, -1.0]])
    array(['same', 'different'], dtype='<U9')
    """

    _interactions = "fm"


class WeightedFFMRegressor(WeightedRegressor):
    """Field-aware factorization machine over weighted fields, for regression.

    Row i with weight ``w_ij`` of label j scores

    ``b + sum_j w_ij a_j + sum_{f<g} <A_fg, A_gf>``,  ``A_fg = sum_{j in f} w_ij V_jg``,

    where every label has one factor vector per field it meets [1]_. Cost:
    O(nnz F k + F^2 k) per row, however many labels a field holds.

    Parameters
    ----------
    n_factors : int, default=8
        Length k of the factor vectors (one per label and field).
    loss : str, default="squared_error"
        ``"huber"`` counts errors beyond 1.35 robust standard deviations linearly
        only, so that outliers do little harm; ``"poisson"`` is for counts >= 0 and
        predicts ``exp`` of the score above. ``"ordinal"`` needs a model that is not
        field-aware.
    fields : "auto", array-like of int or FieldMap, default="auto"
        Field id of each column, or number of columns of each field. ``"auto"`` takes
        the map of a FieldCSR, each column of a dense array or all-numeric DataFrame as
        a field, and raises for a plain sparse matrix, which does not
        say what its fields are.
    intra_field : bool, default=False
        Also count pairs of labels inside one field.
    solver : str or subclass of torch.optim.Optimizer, default="auto"
        ``"adagrad"``, ``"sgd"`` and ``"ftrl"`` (FTRL-Proximal for the linear term,
        AdaGrad for the factors) take a step per row in the compiled core; without it,
        on another device than the CPU, or with dropout, the first two are torch's on
        mini-batches. ``"adam"`` always is, as is a name of ``torch.optim`` such as
        ``"AdamW"``, or a class. ``"lbfgs"`` is full-batch, deterministic and in
        float64. ``"auto"``: ``"lbfgs"`` up to 1000 rows and 2**20 factors, above
        ``"adagrad"`` in the core, else ``"adam"``.
    solver_params : dict or None, default=None
        Further arguments of an optimizer of torch, such as ``{"momentum": 0.9}``.
    adagrad_state : {"row", "weight"}, default="row"
        AdaGrad in the core: a state for the whole vector of a label, which halves the
        memory, or for each of its numbers.
    learning_rate : float or "auto", default="auto"
        First step of the solver; `learning_rate_schedule` says how it goes on. In the
        core it is relative to rows of unit length: 0.5 with ``"auto"`` (sgd: 0.2).
        Elsewhere: 0.01 (adam), 0.05 (adagrad, sgd), 1 (lbfgs), and the own default of
        another optimizer, or 0.01.
    learning_rate_linear : float or "auto", default="auto"
        The same for linear coefficients and intercept, in the core only: 0.2 with
        ``"auto"`` (sgd: 0.1).
    learning_rate_schedule : str, default="auto"
        ``"cosine"`` (which is ``"auto"``), ``"linear"`` and ``"exponential"`` fall to
        0.01 of the first step over `max_iter` epochs, ``"inverse_sqrt"`` as
        ``1 / sqrt(epoch)``; ``"constant"`` does not. A scheduler among `callbacks`
        takes its place, and ``"lbfgs"`` has none.
    l1_linear : float, default=0.0
        Penalty ``l1_linear |a|_1`` on the linear coefficients, relative to the sum of
        the losses of all epochs; ``"ftrl"`` only. Coefficients become exactly 0.
    l2_linear : float, default=5.0
        Penalty ``1/2 l2_linear |a|^2`` on the linear coefficients, relative to the
        *sum* of the losses as in ridge regression, the target having been scaled
        to variance 1.
    l2_factors : float, default=20.0
        The same for the factors.
    dropout : float, default=0.0
        Probability, in [0, 1), that a training row leaves out each of the `n_factors`
        dimensions, the others counting ``1 / (1 - dropout)``-fold [2]_; predictions
        use all. Torch trains on mini-batches then; not by ``"ftrl"`` or ``"lbfgs"``.
    max_iter : int or "auto", default="auto"
        Passes over the rows; ten iterations each for ``"lbfgs"``. ``"auto"`` is 20.
    n_burn_in : int or "auto", default="auto"
        For ``solver="mcmc"``, which field-aware models do not have.
    n_kept : int, default=100
        The same.
    batch_size : int or "auto", default="auto"
        Rows per mini-batch; ``"auto"`` makes about 64 of them a pass. In the core a
        step is one row, and this is the number of rows between two callbacks.
    init_scale : float, default=0.01
        Standard deviation of the factors at the start.
    fit_intercept : bool, default=True
        Whether there is an intercept.
    fit_linear : bool, default=True
        Whether there are linear coefficients.
    early_stopping : bool or "auto", default="auto"
        Hold out `validation_fraction` of the rows, stop when their loss has not
        improved by `tol` for `n_iter_no_change` epochs and keep the parameters of the
        last epoch that did.
        ``"auto"``: with more than 10,000 rows, unless the solver is ``"lbfgs"``.
        Without it, the training loss is watched in the same way.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=5
        Epochs without improvement before stopping; 1 for ``"lbfgs"``, whose loss does
        not fluctuate, unless rows are held out.
    tol : float, default=1e-4
        Relative improvement of the loss that counts.
    warm_start : bool, default=False
        `fit` starts from the parameters, and what the steps have become, of the `fit`
        or `partial_fit` before; X may have further columns at the end. The epochs are
        added to `history_` and `n_iter_`.
    callbacks : list of skorch callbacks, optional
        They run in the training loop. Those of scikit-learn (from 1.9) are given to
        `set_callbacks`.
    device : str, default="auto"
        ``"auto"`` (the CPU for what the compiled core does, else CUDA if there is one),
        ``"cpu"``, ``"cuda"``, ``"mps"``. A model fitted on a device that is not there
        predicts on the CPU.
    n_jobs : int or None, default=None
        Threads of the compiled core; None is 1, -1 all processors. Predictions are the
        same to the bit for any number; training is reproducible with 1 only, since
        threads share the table (each has copies of the labels that most rows have).
    random_state : int, RandomState or None, default=None
        Decides the start, the order of the rows and the rows held out.
    verbose : int, default=0
        Above 0, print a line per epoch.

    Attributes
    ----------
    intercept_ : float
        The bias b, in the units of y.
    coef_ : array of shape (n_columns,)
        Linear coefficients a, one per (encoded) column.
    factors_ : array of shape (n_columns, F, k)
        Factor vectors: ``factors_[j, g]`` is what label j shows to field g.
    fields_ : array of int32, shape (n_columns,)
        Field of each (encoded) column.
    field_names_ : tuple of str
        Name of each field.
    n_fields_ : int
        Number of fields F.
    field_transformer_ : FieldTransformer or None
        What encodes a DataFrame whose columns are not all numbers.
    history_ : dict of list
        Per epoch: ``train_loss``, ``valid_loss`` with early stopping, ``seconds``,
        ``learning_rate`` and what scoring callbacks recorded. Losses are per row and,
        for regression, of the standardised target; that of ``"lbfgs"`` includes the
        penalty and is that before the epoch.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch whose parameters were kept, from 1; 0 is the start.
    statistics_ : dict
        Sums over the training rows: ``n_rows``, their weight; per column ``count`` of
        rows that hold the label, ``weight`` and ``square`` of the weights; per field
        ``bag_square`` of the total of a bag. Estimates from 32,768 rows or more.
    solver_state_ : object
        What `partial_fit` and `warm_start` go on from: counts of labels, sums of
        squared gradients. Predictions do not need it.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : array of str
        Their names, if all are strings.
    module_ : torch.nn.Module
        The fitted model as a torch module.

    See Also
    --------
    WeightedFMRegressor : One vector per label: smaller, and quicker to learn.
    WeightedFFMClassifier : The same for classes.

    Notes
    -----
    The training loop is a skorch net. The fitted state is numpy only.

    References
    ----------
    .. [1] Y. Juan, Y. Zhuang, W.-S. Chin, C.-J. Lin, "Field-aware Factorization
           Machines for CTR Prediction", ACM Conference on Recommender Systems, 2016.
    .. [2] X. He, T.-S. Chua, "Neural Factorization Machines for Sparse Predictive
           Analytics", ACM SIGIR Conference, 2017: its dropout, without hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import FieldCSR, WeightedFFMRegressor
    >>> rng = np.random.default_rng(0)
    >>> user, item = rng.integers(3, size=200), rng.integers(4, size=200)
    >>> X = FieldCSR(np.hstack([np.eye(3)[user], np.eye(4)[item]]), fields=[3, 4])
    >>> y = user * item
    >>> ffm = WeightedFFMRegressor(l2_factors=1, random_state=0).fit(X, y)
    >>> ffm.factors_.shape
    (7, 2, 8)
    >>> round(ffm.score(X, y), 2)
    1.0
    """

    _interactions = "ffm"


class WeightedFFMClassifier(WeightedClassifier):
    """Field-aware factorization machine over weighted fields, for classification.

    Row i with weight ``w_ij`` of label j scores

    ``b + sum_j w_ij a_j + sum_{f<g} <A_fg, A_gf>``,  ``A_fg = sum_{j in f} w_ij V_jg``,

    where every label has one factor vector per field it meets [1]_. Cost:
    O(nnz F k + F^2 k) per row, however many labels a field holds.

    Parameters
    ----------
    n_factors : int, default=8
        Length k of the factor vectors (one per label and field).
    fields : "auto", array-like of int or FieldMap, default="auto"
        Field id of each column, or number of columns of each field. ``"auto"`` takes
        the map of a FieldCSR, each column of a dense array or all-numeric DataFrame as
        a field, and raises for a plain sparse matrix, which does not
        say what its fields are.
    intra_field : bool, default=False
        Also count pairs of labels inside one field.
    solver : str or subclass of torch.optim.Optimizer, default="auto"
        ``"adagrad"``, ``"sgd"`` and ``"ftrl"`` (FTRL-Proximal for the linear term,
        AdaGrad for the factors) take a step per row in the compiled core; without it,
        on another device than the CPU, or with dropout, the first two are torch's on
        mini-batches. ``"adam"`` always is, as is a name of ``torch.optim`` such as
        ``"AdamW"``, or a class. ``"lbfgs"`` is full-batch, deterministic and in
        float64. ``"auto"``: ``"lbfgs"`` up to 1000 rows and 2**20 factors, above
        ``"adagrad"`` in the core, else ``"adam"``.
    solver_params : dict or None, default=None
        Further arguments of an optimizer of torch, such as ``{"momentum": 0.9}``.
    adagrad_state : {"row", "weight"}, default="row"
        AdaGrad in the core: a state for the whole vector of a label, which halves the
        memory, or for each of its numbers.
    learning_rate : float or "auto", default="auto"
        First step of the solver; `learning_rate_schedule` says how it goes on. In the
        core it is relative to rows of unit length: 0.5 with ``"auto"`` (sgd: 0.2).
        Elsewhere: 0.01 (adam), 0.05 (adagrad, sgd), 1 (lbfgs), and the own default of
        another optimizer, or 0.01.
    learning_rate_linear : float or "auto", default="auto"
        The same for linear coefficients and intercept, in the core only: 0.2 with
        ``"auto"`` (sgd: 0.1).
    learning_rate_schedule : str, default="auto"
        ``"cosine"`` (which is ``"auto"``), ``"linear"`` and ``"exponential"`` fall to
        0.01 of the first step over `max_iter` epochs, ``"inverse_sqrt"`` as
        ``1 / sqrt(epoch)``; ``"constant"`` does not. A scheduler among `callbacks`
        takes its place, and ``"lbfgs"`` has none.
    l1_linear : float, default=0.0
        Penalty ``l1_linear |a|_1`` on the linear coefficients, relative to the sum of
        the losses of all epochs; ``"ftrl"`` only. Coefficients become exactly 0.
    l2_linear : float, default=1.0
        Penalty ``1/2 l2_linear |a|^2`` on the linear coefficients, relative to the
        *sum* of the losses as in ridge regression.
    l2_factors : float, default=20.0
        The same for the factors.
    dropout : float, default=0.0
        Probability, in [0, 1), that a training row leaves out each of the `n_factors`
        dimensions, the others counting ``1 / (1 - dropout)``-fold [2]_; predictions
        use all. Torch trains on mini-batches then; not by ``"ftrl"`` or ``"lbfgs"``.
    max_iter : int or "auto", default="auto"
        Passes over the rows; ten iterations each for ``"lbfgs"``. ``"auto"`` is 20.
    n_burn_in : int or "auto", default="auto"
        For ``solver="mcmc"``, which field-aware models do not have.
    n_kept : int, default=100
        The same.
    batch_size : int or "auto", default="auto"
        Rows per mini-batch; ``"auto"`` makes about 64 of them a pass. In the core a
        step is one row, and this is the number of rows between two callbacks.
    init_scale : float, default=0.01
        Standard deviation of the factors at the start.
    fit_intercept : bool, default=True
        Whether there is an intercept.
    fit_linear : bool, default=True
        Whether there are linear coefficients.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, multiplied with `sample_weight`.
    early_stopping : bool or "auto", default="auto"
        Hold out `validation_fraction` of the rows, stop when their loss has not
        improved by `tol` for `n_iter_no_change` epochs and keep the parameters of the
        last epoch that did.
        ``"auto"``: with more than 10,000 rows, unless the solver is ``"lbfgs"``.
        Without it, the training loss is watched in the same way.
    validation_fraction : float, default=0.1
        Share of the rows held out for early stopping.
    n_iter_no_change : int, default=5
        Epochs without improvement before stopping; 1 for ``"lbfgs"``, whose loss does
        not fluctuate, unless rows are held out.
    tol : float, default=1e-4
        Relative improvement of the loss that counts.
    warm_start : bool, default=False
        `fit` starts from the parameters, and what the steps have become, of the `fit`
        or `partial_fit` before; X may have further columns at the end. The epochs are
        added to `history_` and `n_iter_`.
    callbacks : list of skorch callbacks, optional
        They run in the training loop. Those of scikit-learn (from 1.9) are given to
        `set_callbacks`.
    device : str, default="auto"
        ``"auto"`` (the CPU for what the compiled core does, else CUDA if there is one),
        ``"cpu"``, ``"cuda"``, ``"mps"``. A model fitted on a device that is not there
        predicts on the CPU.
    n_jobs : int or None, default=None
        Threads of the compiled core; None is 1, -1 all processors. Predictions are the
        same to the bit for any number; training is reproducible with 1 only, since
        threads share the table (each has copies of the labels that most rows have).
    random_state : int, RandomState or None, default=None
        Decides the start, the order of the rows and the rows held out.
    verbose : int, default=0
        Above 0, print a line per epoch.

    Attributes
    ----------
    intercept_ : float, or array of shape (n_classes,)
        The bias b.
    coef_ : array of shape (n_columns,) or (n_classes, n_columns)
        Linear coefficients a, one per (encoded) column.
    factors_ : array of shape (n_columns, F, k)
        With more than two classes (n_columns, n_classes, F, k).
        Factor vectors: ``factors_[j, g]`` is what label j shows to field g.
    fields_ : array of int32, shape (n_columns,)
        Field of each (encoded) column.
    field_names_ : tuple of str
        Name of each field.
    n_fields_ : int
        Number of fields F.
    classes_ : array of shape (n_classes,)
        Labels of y, sorted.
    field_transformer_ : FieldTransformer or None
        What encodes a DataFrame whose columns are not all numbers.
    history_ : dict of list
        Per epoch: ``train_loss``, ``valid_loss`` with early stopping, ``seconds``,
        ``learning_rate`` and what scoring callbacks recorded. Losses are per row and,
        for regression, of the standardised target; that of ``"lbfgs"`` includes the
        penalty and is that before the epoch.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        Epoch whose parameters were kept, from 1; 0 is the start.
    statistics_ : dict
        Sums over the training rows: ``n_rows``, their weight; per column ``count`` of
        rows that hold the label, ``weight`` and ``square`` of the weights; per field
        ``bag_square`` of the total of a bag. Estimates from 32,768 rows or more.
    solver_state_ : object
        What `partial_fit` and `warm_start` go on from: counts of labels, sums of
        squared gradients. Predictions do not need it.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : array of str
        Their names, if all are strings.
    module_ : torch.nn.Module
        The fitted model as a torch module.

    See Also
    --------
    WeightedFMClassifier : One vector per label: smaller, and quicker to learn.
    WeightedFFMRegressor : The same for a real target.

    Notes
    -----
    The training loop is a skorch net; the loss is logistic for two classes, softmax
    for more. The fitted state is numpy only.

    References
    ----------
    .. [1] Y. Juan, Y. Zhuang, W.-S. Chin, C.-J. Lin, "Field-aware Factorization
           Machines for CTR Prediction", ACM Conference on Recommender Systems, 2016.
    .. [2] X. He, T.-S. Chua, "Neural Factorization Machines for Sparse Predictive
           Analytics", ACM SIGIR Conference, 2017: its dropout, without hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from skwfm import WeightedFFMClassifier, make_field_transformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.choice(["a", "b", "c"], size=(500, 2))
    >>> y = X[:, 0] == X[:, 1]
    >>> model = make_pipeline(
    ...     make_field_transformer((OneHotEncoder(), [0, 1])),
    ...     WeightedFFMClassifier(random_state=0),
    ... ).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _interactions = "ffm"
