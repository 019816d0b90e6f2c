import inspect
import logging
import warnings

import numpy as np
import pytest
from sklearn.base import RegressorMixin, is_classifier
from sklearn.utils import get_tags

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import HAS_CALLBACKS, CallbackSupportMixin, fit_context
from sparsestat._utils.progress import FitProgress, logger, progress_bar
from tests.test_common import PRESETS, public_estimators

needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="this scikit-learn has no callbacks"
)


class Counter(CallbackSupportMixin, RegressorMixin, SparsestatEstimator):
    """Counts its iterations; predicts the count."""

    _parameter_constraints = {
        "max_iter": [int],
        "verbose": [int],
        "fail_at": [int, None],
    }

    def __init__(self, max_iter=5, *, verbose=0, fail_at=None):
        self.max_iter = max_iter
        self.verbose = verbose
        self.fail_at = fail_at

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        n_iter = 0
        with FitProgress(
            self, self.max_iter, X=X, y=y, verbose=self.verbose
        ) as progress:
            for n_iter in range(1, self.max_iter + 1):
                if n_iter == self.fail_at:
                    raise ArithmeticError("as asked")
                fitted = {"n_iter_": n_iter}
                if progress.step(lambda fitted=fitted: fitted, objective=1 / n_iter):
                    break
        self.n_iter_ = n_iter
        return self

    def predict(self, X):
        return np.full(len(X), float(self.n_iter_))


class Recorder:
    """A callback that writes down every hook and may stop the fit."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "iteration":
            assert X is not None and y is not None
            assert not hasattr(estimator, "n_iter_")
            return fitted_estimator.n_iter_ == self.stop_after


X, y = np.zeros((3, 1)), np.arange(3.0)


def test_without_callbacks_all_iterations_run():
    assert Counter(4).fit(X, y).n_iter_ == 4


@needs_callbacks
def test_callbacks_see_every_iteration_and_are_torn_down():
    recorder = Recorder()
    Counter(2).set_callbacks(recorder).fit(X, y)
    iteration = ["begin iteration", "end iteration"]
    assert recorder.events == [
        "setup",
        "begin fit",
        *iteration,
        *iteration,
        "end fit",
        "teardown",
    ]


@needs_callbacks
def test_a_callback_that_returns_true_stops_the_fit():
    assert Counter(9).set_callbacks(Recorder(stop_after=3)).fit(X, y).n_iter_ == 3


@needs_callbacks
def test_callbacks_are_torn_down_after_an_exception():
    recorder = Recorder()
    with pytest.raises(ArithmeticError, match="as asked"):
        Counter(4, fail_at=2).set_callbacks(recorder).fit(X, y)
    assert recorder.events[-1] == "teardown"
    assert "end fit" not in recorder.events


@needs_callbacks
def test_scoring_monitor_scores_the_unfinished_estimator():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="neg_mean_absolute_error")
    Counter(3).set_callbacks(monitor).fit(X, y)
    scores = [
        row["neg_mean_absolute_error"]
        for row in monitor.get_logs().data
        if row["task_name"] == "iteration"
    ]
    expected = [-np.abs(y - k).mean() for k in (1, 2, 3)]
    np.testing.assert_allclose(scores, expected)


def test_verbose_logs_one_line_an_iteration(caplog):
    Counter(3, verbose=1).fit(X, y)
    lines = [r.getMessage() for r in caplog.records if r.name == "sparsestat"]
    assert lines[1] == "Counter: iteration 2, objective 5.0000e-01"
    assert len(lines) == 3


def test_silent_by_default(caplog):
    with caplog.at_level(logging.INFO, logger="sparsestat"):
        Counter(3).fit(X, y)
    assert not [r for r in caplog.records if r.name == "sparsestat"]


def test_verbose_is_seen_where_logging_is_not_configured(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    Counter(2, verbose=1).fit(X, y)
    assert capsys.readouterr().err.count("Counter: iteration") == 2
    assert logger.handlers == [] and logger.level == logging.NOTSET


def test_a_level_set_by_the_user_wins(caplog):
    with caplog.at_level(logging.ERROR, logger="sparsestat"):
        Counter(2, verbose=1).fit(X, y)
        assert logger.level == logging.ERROR
    assert not [r for r in caplog.records if r.name == "sparsestat"]


def test_logger_is_restored_after_an_exception(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(ArithmeticError):
        Counter(3, verbose=1, fail_at=2).fit(X, y)
    assert logger.handlers == [] and logger.level == logging.NOTSET


def test_progress_bar_is_silent_unless_asked(capsys):
    assert list(progress_bar(range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    assert list(progress_bar(range(3), description="folds", verbose=1)) == [0, 1, 2]
    assert "folds" in capsys.readouterr().err


TALKERS = [
    cls for cls in public_estimators() if "verbose" in inspect.signature(cls).parameters
]


def fit_on_a_few_rows(estimator):
    """Fit any estimator on data that suit it."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((24, 4))
    y = np.abs(X[:, 0] + 0.1 * rng.standard_normal(24))
    name = type(estimator).__name__
    if "Kronecker" in name:
        X, y = [X[:4, :3], X[4:9]], rng.standard_normal(20)
    elif name == "ToeplitzGPRegressor":
        X = np.arange(24.0)[:, None]
    elif name.startswith("MultiTask"):
        y = np.column_stack([y, y])
    elif is_classifier(estimator):
        y = (X[:, 0] > 0).astype(int)
    elif get_tags(estimator).input_tags.positive_only:
        X = np.abs(X)
    if name.startswith("GraphLabel"):
        y = np.where(np.arange(24) % 3, -1 if is_classifier(estimator) else np.nan, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)


@pytest.mark.parametrize("cls", TALKERS, ids=lambda cls: cls.__name__)
def test_every_verbose_fit_says_what_it_does(cls, caplog, capsys):
    arguments = dict(PRESETS.get(cls.__name__, [{}])[0])
    small = {"max_iter": 5, "random_state": 0, "n_inducing": 5}
    known = inspect.signature(cls).parameters
    arguments |= {k: v for k, v in small.items() if k in known and k not in arguments}
    for verbose in (0, 1):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="sparsestat"):
            fit_on_a_few_rows(cls(**arguments, verbose=verbose))
        lines = [r.getMessage() for r in caplog.records if r.name == "sparsestat"]
        shown = capsys.readouterr().err
        if not verbose:
            assert not lines and not shown
        elif cls.__name__.endswith("CV"):
            assert "path" in shown  # a bar over its final path
        else:
            assert lines[0].startswith(f"{cls.__name__}: iteration 1, ")
