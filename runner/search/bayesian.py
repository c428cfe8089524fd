"""Bayesian optimisation with the Gaussian process of Keras Tuner's, which is scikit-learn's, asked
only about points where a trial can be. Keras Tuner asks about all others, too: between two
categories, and where a condition does not hold. As no trial ever is there, they stay promising, and
it proposes the nearest one for ever.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from history.ranking import Direction
from runner.config.schema import BayesianTuner
from runner.search import cube
from runner.training.ledger import Values

if TYPE_CHECKING:
    from keras_tuner import HyperParameters
    from keras_tuner.engine.trial import Trial

DRAWN = 500  # points at a time
KEPT = 20  # the best of them, from which it goes on
WIDTHS = (0.2, 0.1, 0.03, 0.01, 0.003)  # how far
# within which shares of the unit cube its scores are similar: with shorter ones, two near scores
# that noise sets apart make all else unknown, and what is next to the best the most promising
SCALES = 0.1, 100.0


def candidates(
    tuner: BayesianTuner,
    space: "HyperParameters",
    trials: Iterable["Trial"],
    direction: Direction,
    seeds: tuple[int, int],
) -> Iterator[Values]:
    """Yield values by their lower confidence bound, the least first, as far as they are found:
    among random ones first, then ever nearer to the best ones. Then yield the random ones.

    Args:
        tuner: the settings.
        space: its own values are replaced.
        trials: all that have been asked for, in their order.
        direction: of the objective.
        seeds: of the process and of what is drawn.
    """
    draw = np.random.RandomState(seeds[1])
    process = GaussianProcessRegressor(
        kernel=kernels.Matern(nu=2.5, length_scale_bounds=SCALES),
        n_restarts_optimizer=4,
        normalize_y=True,
        alpha=tuner.alpha,
        random_state=seeds[0],
    )

    def by_promise(points: np.ndarray) -> np.ndarray:
        mean, deviation = process.predict(points, return_std=True)
        return points[np.argsort(mean - tuner.beta * deviation, kind="stable")]

    with warnings.catch_warnings(action="ignore"):  # the process's; no user could do anything
        _fit(process, space, trials, direction)
        points = drawn = cube.snapped(draw.uniform(size=(DRAWN, len(space.space))), space)
        for width in WIDTHS:
            best = by_promise(points)[:KEPT]
            near = np.repeat(best, DRAWN // KEPT, axis=0)
            is_moved = draw.uniform(size=near.shape) < 0.5
            near = near + is_moved * draw.normal(scale=width, size=near.shape)
            points = np.concatenate([best, cube.snapped(near.clip(0, 1), space)])
        points = by_promise(points)
    for point in (*points, *drawn):
        yield cube.values_at(point, space)


def _fit(
    process: GaussianProcessRegressor,
    space: "HyperParameters",
    trials: Iterable["Trial"],
    direction: Direction,
) -> None:
    """Fit the process to the scores. Trials that still run are given pessimistic ones: what it
    expects of them, and a deviation.
    """
    completed, scores, running = list[list[float]](), list[float](), list[list[float]]()
    for trial in trials:
        point = cube.point(trial.hyperparameters, space.space)
        if trial.status == "RUNNING":
            running.append(point)
        elif trial.status == "COMPLETED":
            completed.append(point)
            scores.append(-trial.score if direction == "max" else trial.score)
    process.fit(completed, scores)
    if running:
        expected = np.sum(process.predict(running, return_std=True), axis=0)
        process.fit(completed + running, scores + expected.tolist())
