"""Keras Tuner's oracles, asked and told in plain data. All that is private to Keras Tuner is named
in this file and in tpe.py; tests/unit/runner/test_runner_oracles.py checks what it relies on.

An oracle here writes and prints nothing, and what it asks for is a function of its settings, the
space, what it was told and what it has asked for; in a random search and on a grid not even of what
it was told. Budgets are not the oracle's: with `max_trials` unset the trial ids do not depend on
the budget, so that a raised budget continues the same search.
"""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine import tuner_utils  # how what a fit returned becomes metrics

from foundation import errors
from runner.config import check, schema, space
from runner.data.shared import Loaded
from runner.errors import ConfigError, Faults, ModelError, Problem
from runner.search.places import place_of, value_at
from runner.search.state import Proposal, Scored, Size, TrialResult, Values
from runner.training import build, evaluate, preflight, regimes, seeds

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial
    from sklearn.gaussian_process import GaussianProcessRegressor


def _complete(hp: "keras_tuner.HyperParameters") -> None:
    """Give the default to what is active and has no value."""
    for one in hp.space:
        if hp.is_active(one):
            hp.values.setdefault(one.name, one.default)


class Oracle(keras_tuner.Oracle):  # type: ignore[misc]  # keras_tuner has no types
    """What is common to the oracles here."""

    trials: dict[str, "Trial"]
    recorded: Mapping[str, Values] = {}  # what was asked for before, by trial id
    first: Sequence[Values] = ()  # what is asked for before anything is drawn

    def _random_values(self) -> Values | None:
        """Return values for a trial that goes by no other."""
        return self._given() or super()._random_values()

    def _given(self) -> Values | None:
        """Return the next of the values that a search begins with, while there are any."""
        values, self.first = next(iter(self.first), None), self.first[1:]
        return values

    def save(self, *_: object) -> None:
        """Write nothing."""

    def _save_trial(self, trial: "Trial") -> None:
        """Write nothing."""

    def _check_consecutive_failures(self) -> None:
        """Do nothing: the loop counts them, over restarts too."""

    def _record_values(self, trial: "Trial") -> None:
        _complete(trial.hyperparameters)  # Keras Tuner would draw by chance what has come up since
        super()._record_values(trial)

    def ask(self) -> Proposal | None:
        """Return the next trial; None: there is none before more is told, or at all."""
        trial = self.create_trial(f"{len(self.trials)}")  # one tuner of Keras Tuner's has one trial
        return (
            Proposal(trial.trial_id, trial.hyperparameters.get_config())
            if trial.status == "RUNNING"
            else None
        )

    def tell(self, result: TrialResult) -> Scored:
        """End a trial that was asked for with what it returned."""
        trial = self.trials[result.trial_id]
        trial.hyperparameters = build.values_of(result.hyperparameters)
        trial.status, trial.message = result.status, result.message
        if result.status == "COMPLETED":
            for name in result.metrics:  # Keras Tuner would guess directions, and fails at some
                trial.metrics.register(
                    name, self.objective.direction if name == self.objective.name else "min"
                )
            self.update_trial(trial.trial_id, result.metrics, step=result.best_step)
        self.end_trial(trial)
        if trial.status == "COMPLETED":
            trial.score = float(trial.score)
        return Scored(trial.get_state(), trial.score)

    def state(self) -> dict[str, Any]:
        """Return the oracle as Keras Tuner has it, as far as it was told: how many trials it was
        asked for beyond them is a matter of time.
        """
        space = self.get_space()
        for trial_id in self.end_order:
            space.merge(self.trials[trial_id].hyperparameters, overwrite=False)
        hashes = {trial_id: self._id_to_hash[trial_id] for trial_id in self.end_order}
        return {
            **self.get_state(),
            "hyperparameters": space.get_config(),
            "ongoing_trials": {},
            "run_times": dict(self._run_times),
            "start_order": self.end_order,
            "seed_state": self.seed,
            "id_to_hash": hashes,
            "tried_so_far": sorted({*hashes.values()}),
        }


class Unled(Oracle):
    """Asks for the same whatever it was told: the space is closed by the first trial, and no trial
    counts for others by more than what was asked for.
    """

    def update_space(self, hyperparameters: "keras_tuner.HyperParameters") -> None:
        if not self.trials:
            super().update_space(hyperparameters)

    def _record_values(self, trial: "Trial") -> None:
        if trial.trial_id not in self.trials:
            super()._record_values(trial)


class RandomOracle(Unled, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Keras Tuner's own."""


class GridOracle(Unled):
    """All combinations, in the order of Keras Tuner's own: from the last that was asked for to the
    next, without a list of all values, of which there may be billions.
    """

    combinations: Iterator[Values] | None = None

    def populate_space(self, trial_id: str) -> dict[str, object]:
        self.combinations = self.combinations or _combinations(self.get_space())
        values = next(self.combinations, None)
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}


def _combinations(hp: "keras_tuner.HyperParameters") -> Iterator[Values]:
    """Yield the values of a space as a grid takes them."""
    hp.values = {one.name: one.default for one in hp.space if hp.is_active(one)}
    found = True
    while found:
        yield dict(hp.values)
        found = False
        for one in reversed(hp.space):  # a condition's value after those below it
            rest = _in_order(one)
            known = hp.is_active(one) and hp.values[one.name] in rest  # what is left comes after it
            if known and (value := next(rest, None)) is not None:
                hp.values[one.name], found = value, True
                break
            hp.values[one.name] = one.default
        hp.ensure_active_values()


def _in_order(hp: "keras_tuner.engine.hyperparameters.HyperParameter") -> Iterator[object]:
    """Yield the values of a hyperparameter as a grid takes them: the default first."""
    yield hp.default
    yield from (value for value in hp.values if value != hp.default)


class HyperbandOracle(Oracle, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's own, but that an iteration begins when the one before has ended: no trial may
    depend on whether another iteration is to come.
    """

    hyperband_iterations: float

    def populate_space(self, trial_id: str) -> dict[str, object]:
        budget = self.hyperband_iterations
        if self.ongoing_trials:
            self.hyperband_iterations = self._current_iteration + 1
        found: dict[str, object] = super().populate_space(trial_id)
        self.hyperband_iterations = budget
        return found

    def tell(self, result: TrialResult) -> Scored:
        """End a trial, and say which may still be gone on from: of each round, as many of the best
        as the next one has room for.
        """
        told, needed = super().tell(result), list[str]()
        for bracket in self._brackets:
            failed = 0  # Keras Tuner fills their places up in no round
            for number, (past, next_one) in enumerate(itertools.pairwise(bracket["rounds"]), 1):
                gone = [each["past_id"] for each in next_one]
                left = [self.trials[each["id"]] for each in past if each["id"] not in gone]
                failed += sum(trial.status == "FAILED" for trial in left)
                room = self._get_size(bracket["bracket_num"], number) - len(gone) - failed
                best = sorted(
                    (trial for trial in left if trial.status == "COMPLETED"),
                    key=lambda trial: trial.score,
                    reverse=self.objective.direction == "max",
                )
                needed += [trial.trial_id for trial in best[: max(room, 0)]]
        return replace(told, needed=tuple(needed))


class Led(Oracle):
    """Chooses by scores, once enough trials have completed; where that finds nothing new, and until
    then, at random. What is drawn is drawn by the trial's id, so that no trial's values depend on
    whether those before it were drawn or had been recorded.
    """

    num_initial_points: int | None

    def populate_space(self, trial_id: str) -> dict[str, object]:
        known = self.recorded.get(trial_id, self._given())  # without a new fit
        if known is not None:
            return {"status": "RUNNING", "values": dict(known)}
        self._seed_state = seeds.derive_seed(self.seed, trial_id)
        completed = sum(trial.status == "COMPLETED" for trial in self.trials.values())
        hp, values = self.get_space(), None
        if hp.space and completed >= schema.initial(self.num_initial_points, len(hp.space)):
            values = self.choose(hp)
        if values is None or self._duplicate(values):
            values = self._random_values()
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}

    def choose(self, hp: "keras_tuner.HyperParameters") -> Values | None:
        """Return what the scores speak for.

        Args:
            hp: the space; its own values are replaced. `_seed_state` is the trial's seed.
        """
        raise NotImplementedError


class BayesianOracle(Led, keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Keras Tuner's process, which is scikit-learn's, asked only about places where a trial can be.
    Keras Tuner asks about all others, too: between two categories, and where a condition does not
    hold. As no trial ever is there, they stay promising, and it proposes the nearest one for ever.
    """

    def _make_gpr(self) -> "GaussianProcessRegressor":
        made = super()._make_gpr()
        return made.set_params(kernel__length_scale_bounds=SCALES, n_restarts_optimizer=4)

    def choose(self, hp: "keras_tuner.HyperParameters") -> Values | None:
        """Return the untried values with the least lower confidence bound that is found: among
        random ones first, then ever nearer to the best ones.
        """
        draw = np.random.RandomState(self._seed_state)
        with warnings.catch_warnings(action="ignore"):  # the process's; no user could do anything
            self._fit(hp.space)
            places = drawn = _possible(draw.uniform(size=(DRAWN, len(hp.space))), hp)
            for width in WIDTHS:
                best = places[self._bounds(places).argsort(kind="stable")[:KEPT]]
                near = np.repeat(best, DRAWN // KEPT, axis=0)
                moved = draw.uniform(size=near.shape) < 0.5
                near = (near + moved * draw.normal(scale=width, size=near.shape)).clip(0, 1)
                places = np.concatenate([best, _possible(near, hp)])
            places = places[self._bounds(places).argsort(kind="stable")]
        found = (_values(place, hp) for place in (*places, *drawn))
        return next((values for values in found if not self._duplicate(values)), None)

    def _fit(self, space: Sequence[Any]) -> None:
        """Fit the process to the scores. Trials that still run are given pessimistic ones: what it
        expects of them, and a deviation.
        """
        completed, running = (
            [trial for trial in self.trials.values() if trial.status == status]
            for status in ("COMPLETED", "RUNNING")
        )
        known, pending = (
            [_place(trial.hyperparameters, space) for trial in those]
            for those in (completed, running)
        )
        sign = -1 if self.objective.direction == "max" else 1
        scores = [sign * trial.score for trial in completed]
        self.gpr.fit(known, scores)
        if pending:
            expected = np.sum(self.gpr.predict(pending, return_std=True), axis=0)
            self.gpr.fit([*known, *pending], [*scores, *expected])

    def _bounds(self, places: np.ndarray) -> np.ndarray:
        """Return the lower confidence bounds of places."""
        mean, deviation = self.gpr.predict(places, return_std=True)
        return np.asarray(mean - self.beta * deviation)


def _values(place: np.ndarray, hp: "keras_tuner.HyperParameters") -> Values:
    """Return the values of a place in the unit cube; the space takes them over."""
    hp.values = {}
    for one, at in zip(hp.space, place.tolist(), strict=True):
        if hp.is_active(one):
            hp.values[one.name] = value_at(one, at)
    return dict(hp.values)


def _place(hp: "keras_tuner.HyperParameters", space: Sequence[Any]) -> list[float]:
    """Return where values are in the unit cube of a space; what has none is at its default."""
    return [
        place_of(
            one,
            hp.values[one.name] if hp.is_active(one) and one.name in hp.values else one.default,
        )
        for one in space
    ]


def _possible(places: np.ndarray, hp: "keras_tuner.HyperParameters") -> np.ndarray:
    """Return where the values of places are."""
    found = np.empty_like(places)
    for number, place in enumerate(places):
        _values(place, hp)
        found[number] = _place(hp, hp.space)
    return found


class TpeOracle(Led):
    """Asks for what Optuna chooses."""

    def __init__(self, num_initial_points: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.num_initial_points = num_initial_points

    def choose(self, hp: "keras_tuner.HyperParameters") -> Values | None:
        from runner.search import tpe  # an extra

        return tpe.choose(hp, self.trials.values(), self.objective.direction, self._seed_state)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "num_initial_points": self.num_initial_points}


ORACLES: Mapping[str, type[Oracle]] = {
    "random": RandomOracle,
    "grid": GridOracle,
    "bayesian": BayesianOracle,
    "tpe": TpeOracle,
    "hyperband": HyperbandOracle,
}
_consulted: list[Oracle] = []  # of the search that this process was asked for last
# places that Bayesian optimisation draws at a time, the best ones it goes on from, and how far
DRAWN, KEPT, WIDTHS = 500, 20, (0.2, 0.1, 0.03, 0.01, 0.003)
# within which shares of the unit cube its scores are similar: with shorter ones, two near scores
# that noise sets apart make all else unknown, and what is next to the best the most promising
SCALES = 0.1, 100.0
LONGEST = 100  # times that a loop over a hyperparameter runs; a larger number is a width
# keys of tuners that are Keras Tuner's own arguments
ARGUMENTS = {"num_initial_points", "alpha", "beta", "max_epochs", "factor", "hyperband_iterations"}


def new_oracle(
    run: schema.Run,
    pipeline: schema.Pipeline,
    space: Mapping[str, Any],
    recorded: Mapping[str, Values],
) -> Oracle:
    """Return an oracle for a pipeline's tuner, seeded from the run's seed.

    Args:
        run, pipeline: the settings.
        space: Keras Tuner's config of it, as `populate` finds it.
        recorded: the values of trials that have ended, by trial id.
    """
    oracle = ORACLES[pipeline.tuner.kind](
        objective=keras_tuner.Objective(pipeline.objective.name, pipeline.objective.sense),
        seed=seeds.derive_seed(run.seed, "oracle"),
        hyperparameters=build.values_of(space),
        **pipeline.tuner.model_dump(include=ARGUMENTS),
    )
    oracle.max_trials, oracle.verbose, oracle.recorded = None, 0, recorded
    oracle.first = first(pipeline, oracle.get_space())
    return oracle


def first(pipeline: schema.Pipeline, hp: "keras_tuner.HyperParameters") -> list[Values]:
    """Return the values of the trials that a search begins with: those that its config gives, what
    it leaves out being the default, or else, where any default is stated, the defaults.

    Args:
        pipeline: the settings.
        hp: the space; its own values are replaced.

    Raises:
        ConfigError: what is given does not lie in the space.
    """
    given = getattr(pipeline.tuner, "start_from", None) or [{}] * states_defaults(pipeline, hp)
    faults, found, known = Faults(), list[Values](), [one.name for one in hp.space]
    for number, values in enumerate(given):
        hp.values, where = {}, f"tuner.start_from[{number}]"
        for one in hp.space:
            if hp.is_active(one) and one.name not in hp.values:
                hp.values[one.name] = one.default
                if one.name in values:
                    with faults:
                        hp.values[one.name] = _within(one, values[one.name], where)
        faults += [
            Problem(
                where,
                f"{name} has no value here: its condition does not hold"
                if name in known
                else errors.unknown("hyperparameter", name, known),
            )
            for name in values
            if name not in hp.values
        ]
        found.append(dict(hp.values))
    faults.tell(ConfigError)
    return found


def _within(hp: "keras_tuner.engine.hyperparameters.HyperParameter", value: Any, where: str) -> Any:
    """Return a value as a hyperparameter has it; raises ConfigError where it is none of its."""
    least = getattr(hp, "min_value", None)
    if least is None and value in hp.values:
        return hp.values[hp.values.index(value)]
    if least is None:
        takes = f"one of {', '.join(map(str, hp.values))}"
    else:
        takes = f"a {'whole ' * isinstance(least, int)}number from {least} to {hp.max_value}"
        inside = isinstance(value, int | float) and least <= value <= hp.max_value
        if inside and type(least)(value) == value:
            return type(least)(value)
    raise ConfigError(f"{hp.name} is {takes}, not {value!r}", where)


def states_defaults(pipeline: schema.Pipeline, found: "keras_tuner.HyperParameters") -> bool:
    """Say whether any hyperparameter has a default of its own: in the config, or another than what
    Keras Tuner gives to one of the user's code. Of least values alone, a trial is seldom worth it.
    """
    return any(
        spec["hp"] != "Boolean" and spec.get("default") is not None
        for _, spec in space.hyperparameters(
            {"fit": pipeline.fit.model_dump(), "model": pipeline.model.args}
        )
    ) or any(
        one.default != (one.min_value if hasattr(one, "min_value") else one.values[0])
        if not isinstance(one.default, bool)
        else one.default
        for one in found.space
    )


def populate(
    ready: build.Bench, tried: "keras_tuner.HyperParameters | None" = None
) -> dict[str, Any]:
    """Return a pipeline's space, as Keras Tuner's config of it: what its config declares, and what
    the user's own code asks for when it builds a model; in each of its conditions and branches, and
    in its loops, too; and what was asked for when the default model was tried, by a `fit` of the
    user's own. Keras Tuner draws by chance what it explores a space with.

    Raises:
        ConfigError: one of these models has other outputs than its task needs.
    """
    found, pipeline = keras_tuner.HyperParameters(), ready.pipeline
    space.declare({"fit": pipeline.fit.model_dump(), "model": pipeline.model.args}, found)
    target = pipeline.model.target
    known, ways = list[Values](), [Values()] * (target.rpartition(".")[0] != check.OURS)
    ready.hypermodel.declare_hyperparameters(found)
    for way in ways:
        hp = found.copy()
        hp.values.update(way)
        _complete(hp)
        built = None
        with suppress(*[Exception] if way else []):  # what cannot be built is its trial's failure
            built = ready.hypermodel.build(hp)
            found.merge(hp, overwrite=False)
            steps = [{c.name: c.values[0] for c in scope} for scope in hp.inactive_scopes]
            steps += [{one.name: v} for one in filter(hp.is_active, hp.space) for v in _ways(one)]
            ways += [{**way, **step} for step in steps if step not in known]
            known += steps
        try:
            evaluate.must_suit(built, ready.dataset.classes)
        except ModelError as error:
            said = ", ".join(f"{name}={value}" for name, value in way.items())
            raise ConfigError(f"{target}, with {said}: {error}", "model._target_") from error
    found.merge(tried or [], overwrite=False)
    return found.get_config()  # type: ignore[no-any-return]


def _ways(hp: "keras_tuner.engine.hyperparameters.HyperParameter") -> list[Any]:
    """Return the values, other than the default, for which a model may ask for hyperparameters of
    their own: each of a choice that is no number with a point, and the most of a loop.
    """
    most = getattr(hp, "max_value", None)
    values = hp.values if most is None else [most] * (most <= LONGEST)
    return [value for value in values if value != hp.default and not isinstance(value, float)]


def tried(pipeline: schema.Pipeline, given: Loaded) -> Size:
    """Try a pipeline's default model, and find its space, in which its first trials must lie."""
    ready = build.bench(pipeline, given)
    divided = [ready.fold(number) for number in range(regimes.of(pipeline).folds)]  # if it can be
    parameters, size, asked = preflight.preflight(ready)
    space = populate(ready, asked)
    first(pipeline, build.values_of(space))
    kept, schedule = int(not divided), list[int]()  # the best
    if isinstance(pipeline.tuner, schema.HyperbandTuner):
        sizes: Any = new_oracle(schema.Run(), pipeline, space, {})
        rounds = [  # trials, and how long each trains until it has ended, and had before
            (
                sizes._get_size(one, n),
                sizes._get_epochs(one, n),
                n and sizes._get_epochs(one, n - 1),
            )
            for one in range(sizes._get_num_brackets())
            for n in range(one + 1)
        ]
        kept += sum(trials for trials, _, had in rounds if had)
        once = sum(trials for trials, *_ in rounds), sum(n * (end - had) for n, end, had in rounds)
        schedule = [number * pipeline.tuner.hyperband_iterations for number in once]
    elif isinstance(pipeline.tuner, schema.GridTuner):
        found = len([*itertools.islice(_combinations(build.values_of(space)), 1000)])
        schedule = [found] * (found < 1000)
    return Size(parameters, size, space, kept, *schedule)


def consult(begun: Sequence[Any] | None, calls: Sequence[Sequence[Any]]) -> Any:
    """Ask and tell this process's oracle, which `begun` makes anew, and return what came last."""
    if begun is not None:
        _consulted[:] = [new_oracle(*begun)]
    *_, answer = [getattr(_consulted[0], name)(*given) for name, *given in calls]
    return answer


def ask_all(oracle: Oracle, most: int) -> list[Values]:
    """Return the values of all trials that an oracle asks for, up to `most` of them, when all of
    them score the same.
    """
    values = list[Values]()
    while len(values) < most and (asked := oracle.ask()) is not None:
        values.append(asked.hyperparameters["values"])
        oracle.tell(
            TrialResult(
                trial_id=asked.trial_id,
                asked=values[-1],
                hyperparameters=asked.hyperparameters,
                status="COMPLETED",
                metrics={oracle.objective.name: 0.0},
                started="",
                seconds=0.0,
            )
        )
    return values


def measured(
    returned: Sequence[object], objective: schema.Objective
) -> tuple[dict[str, float], int]:
    """Return what the trainings of a trial come to as Keras Tuner counts it: the metrics at the
    best epoch, mean over the trainings, and that epoch, from 0.

    Args:
        returned: by each training: a History, a dict of metrics, or the objective's value.
        objective: its name must be among the metrics.

    Raises:
        keras_tuner.errors.FatalError: it is something else.
    """
    given = list(returned), keras_tuner.Objective(objective.name, objective.sense)
    tuner_utils.validate_trial_results(*given, "HyperModel.fit()")
    return (
        {n: float(value) for n, value in tuner_utils.convert_to_metrics_dict(*given).items()},
        int(tuner_utils.get_best_step(*given)),
    )
