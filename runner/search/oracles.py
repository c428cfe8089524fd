"""Keras Tuner's oracles, asked and told in plain data. What is private to Keras Tuner's oracles
is named in this file; tests/unit/runner/search/test_oracles.py checks what it relies on.

An oracle here writes and prints nothing, and what it asks for is a function of its settings, the
space, what it was told and what it has asked for; in a random search and on a grid not even of what
it was told. Budgets are not the oracle's: with `max_trials` unset the trial ids do not depend on
the budget, so that a raised budget continues the same search.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras_tuner

from runner.config import schema
from runner.data.shared import Loaded
from runner.search import bayesian, grid, spaces
from runner.training import build, preflight, regimes, seeds
from runner.training.ledger import Proposal, Scored, Size, TrialResult, Values

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

COUNTED = 1000  # combinations of a grid, at most

_consulted: list["Oracle"] = []  # of the search that this process was asked for last


class Oracle(keras_tuner.Oracle):  # type: ignore[misc]  # keras_tuner has no types
    """What is common to the oracles here; this one draws at random."""

    trials: dict[str, "Trial"]
    recorded: Mapping[str, Values]  # what was asked for before, by trial id
    starts: Iterator[Values]  # what is asked for before anything is drawn

    def _write_nothing(self, *_: object) -> None:
        """Stand for what writes."""

    save = _save_trial = _write_nothing

    def propose(self, trial_id: str) -> Values | None:
        """Return the values of the next trial, if there is one."""
        return self._random_values()

    def populate_space(self, trial_id: str) -> dict[str, object]:
        values = self.propose(trial_id)
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}

    def _random_values(self) -> Values | None:
        return next(self.starts, None) or super()._random_values()

    def _record_values(self, trial: "Trial") -> None:
        # Keras Tuner would draw by chance what has come up since
        spaces.complete(trial.hyperparameters)
        super()._record_values(trial)

    def ask(self) -> Proposal | None:
        """Return the next trial; None: there is none before more is told, or at all."""
        trial = self.create_trial(f"{len(self.trials)}")  # one tuner of Keras Tuner's has one trial
        if trial.status != "RUNNING":
            return None
        return Proposal(trial.trial_id, trial.hyperparameters.get_config())

    def tell(self, result: TrialResult) -> Scored:
        """End a trial that was asked for with what it returned."""
        trial, objective = self.trials[result.trial_id], self.objective
        trial.hyperparameters = build.values_of(result.hyperparameters)
        trial.status, trial.message = result.status, result.message
        if result.status == "COMPLETED":
            for name in result.metrics:  # Keras Tuner would guess directions, and fails at some
                direction = objective.direction if name == objective.name else "min"
                trial.metrics.register(name, direction)
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
        hashes = {}
        for trial_id in self.end_order:
            space.merge(self.trials[trial_id].hyperparameters, overwrite=False)
            hashes[trial_id] = self._id_to_hash[trial_id]
        as_told = {
            "hyperparameters": space.get_config(),
            "ongoing_trials": {},
            "run_times": dict(self._run_times),
            "start_order": self.end_order,
            "seed_state": self.seed,
            "id_to_hash": hashes,
            "tried_so_far": sorted({*hashes.values()}),
        }
        return {**self.get_state(), **as_told}


class RandomOracle(Oracle):
    """Asks for the same whatever it was told: the space is closed by the first trial, and no trial
    counts for others by more than what was asked for.
    """

    def update_space(self, hyperparameters: "keras_tuner.HyperParameters") -> None:
        if not self.trials:
            super().update_space(hyperparameters)

    def _record_values(self, trial: "Trial") -> None:
        if trial.trial_id not in self.trials:
            super()._record_values(trial)


class GridOracle(RandomOracle):
    """All combinations, in the order of Keras Tuner's own."""

    @functools.cached_property
    def combinations(self) -> Iterator[Values]:
        return grid.combinations(self.get_space())

    def propose(self, trial_id: str) -> Values | None:
        return next(self.combinations, None)


class HyperbandOracle(Oracle, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Keras Tuner's own, but that an iteration begins when the one before has ended: no trial may
    depend on whether another iteration is to come.
    """

    hyperband_iterations: int

    def populate_space(self, trial_id: str) -> dict[str, object]:
        iterations = self.hyperband_iterations
        if self.ongoing_trials:
            self.hyperband_iterations = self._current_iteration + 1
        hyperband = keras_tuner.oracles.HyperbandOracle
        populated: dict[str, object] = hyperband.populate_space(self, trial_id)
        self.hyperband_iterations = iterations
        return populated

    def tell(self, result: TrialResult) -> Scored:
        """End a trial, and say which may still be gone on from: of each round, as many of the best
        as the next one has room for.
        """
        scored, needed = super().tell(result), list[str]()
        for bracket in self._brackets:
            failed = 0  # Keras Tuner fills their places up in no round
            for number, (past, following) in enumerate(itertools.pairwise(bracket["rounds"]), 1):
                gone = [trial["past_id"] for trial in following]
                left = [self.trials[trial["id"]] for trial in past if trial["id"] not in gone]
                completed = [trial for trial in left if trial.status == "COMPLETED"]
                completed.sort(key=lambda t: t.score, reverse=self.objective.direction == "max")
                failed += sum(trial.status == "FAILED" for trial in left)
                room = self._get_size(bracket["bracket_num"], number) - len(gone) - failed
                needed += [trial.trial_id for trial in completed[: max(room, 0)]]
        return replace(scored, needed=tuple(needed))

    def size(self) -> tuple[int, int, int]:
        """Return how many trials all iterations have and their epochs, and how many trials of one
        go on from another.
        """
        trials = epochs = continued = 0
        for bracket in range(self._get_num_brackets()):
            begin = 0
            for number in range(bracket + 1):
                size, end = self._get_size(bracket, number), self._get_epochs(bracket, number)
                trials += size * self.hyperband_iterations
                epochs += size * (end - begin) * self.hyperband_iterations
                continued += size if begin else 0
                begin = end
        return trials, epochs, continued


class GuidedOracle(Oracle):
    """Chooses by scores, once enough trials have completed; where that finds nothing new, and until
    then, at random. What is drawn is drawn by the trial's id, so that no trial's values depend on
    whether those before it were drawn or had been recorded.
    """

    def __init__(self, tuner: schema.GuidedTuner, **settings: Any) -> None:
        super().__init__(**settings)
        self.tuner = tuner

    def propose(self, trial_id: str) -> Values | None:
        values = self.recorded.get(trial_id, next(self.starts, None))  # without a new fit
        if values is not None:
            return dict(values)
        self._seed_state = seeds.derive_seed(self.seed, trial_id)
        space = self.get_space()
        completed = sum(trial.status == "COMPLETED" for trial in self.trials.values())
        initial = schema.initial(self.tuner.num_initial_points, len(space.space))
        if space.space and completed >= initial:
            for values in self._candidates(space):
                if not self._duplicate(values):
                    return values
        return self._random_values()

    def _candidates(self, space: "keras_tuner.HyperParameters") -> Iterable[Values]:
        """Return what the scores speak for, the best first."""
        trials, direction = self.trials.values(), self.objective.direction
        if isinstance(self.tuner, schema.BayesianTuner):
            chances = self.seed, self._seed_state
            return bayesian.candidates(self.tuner, space, trials, direction, chances)
        from runner.search import tpe  # an extra

        return [tpe.choose(space, trials, direction, self._seed_state)]

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        return state | self.tuner.model_dump(include={"num_initial_points", "alpha", "beta"})


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
    settings = {
        "objective": keras_tuner.Objective(pipeline.objective.name, pipeline.objective.sense),
        "seed": seeds.derive_seed(run.seed, "oracle"),
        "hyperparameters": build.values_of(space),
        "max_consecutive_failed_trials": None,  # the loop counts them, over restarts too
    }
    oracle: Oracle
    match pipeline.tuner:
        case schema.HyperbandTuner() as tuner:
            own = tuner.model_dump(include={"max_epochs", "factor", "hyperband_iterations"})
            oracle = HyperbandOracle(**settings, **own)
        case schema.GuidedTuner() as tuner:
            oracle = GuidedOracle(tuner, **settings)
        case schema.GridTuner():
            oracle = GridOracle(**settings)
        case _:
            oracle = RandomOracle(**settings)
    oracle.verbose = 0
    oracle.recorded = recorded
    oracle.starts = iter(spaces.starts(pipeline, oracle.get_space()))
    return oracle


def tried(pipeline: schema.Pipeline, data: Loaded) -> Size:
    """Try a pipeline's default model, and find its space, in which its first trials must lie."""
    bench = build.bench(pipeline, data)
    folds = regimes.of(pipeline).folds
    for number in range(folds):
        bench.fold(number)  # or it cannot be divided
    parameters, weights, asked = preflight.preflight(bench)
    space = spaces.populate(bench, asked)
    oracle = new_oracle(schema.Run(), pipeline, space, {})  # or what it starts from is not in it
    kept = 0 if folds else 1  # the best
    if isinstance(oracle, HyperbandOracle):
        trials, epochs, continued = oracle.size()
        return Size(parameters, weights, space, kept + continued, trials, epochs)
    if isinstance(oracle, GridOracle):
        trials = len([*itertools.islice(oracle.combinations, COUNTED)])
        if trials < COUNTED:
            return Size(parameters, weights, space, kept, trials)
    return Size(parameters, weights, space, kept)


def consult(begun: Sequence[Any] | None, calls: Sequence[Sequence[Any]]) -> Any:
    """Ask and tell this process's oracle, which `begun` makes anew, and return what came last."""
    if begun is not None:
        _consulted[:] = [new_oracle(*begun)]
    for name, *arguments in calls:
        answer = getattr(_consulted[0], name)(*arguments)
    return answer


def ask_all(oracle: Oracle, most: int) -> list[Values]:
    """Return the values of all trials that an oracle asks for, up to `most` of them, when all of
    them score the same.
    """
    values = list[Values]()
    while len(values) < most:
        proposal = oracle.ask()
        if proposal is None:
            break
        values.append(proposal.hyperparameters["values"])
        oracle.tell(
            TrialResult(
                trial_id=proposal.trial_id,
                asked=values[-1],
                hyperparameters=proposal.hyperparameters,
                status="COMPLETED",
                metrics={oracle.objective.name: 0.0},
                started="",
                seconds=0.0,
            )
        )
    return values
