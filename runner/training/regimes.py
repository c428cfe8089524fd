"""How a pipeline's trials and refits train, decided once from its settings: plain, over folds, from
other trials' checkpoints, or keeping the best trial's own weights. Nothing here needs Keras.
"""

from dataclasses import dataclass
from typing import Any

from runner.config import schema


@dataclass(frozen=True)
class Regime:
    """What the settings of tuner and validation come to.

    Args:
        executions: the trainings of a trial, which then keeps its best weights.
        refits: the trainings that follow the search.
        folds: over so many folds: each execution, and each of as many first refits, trains on the
            rows outside of one of them and is measured on this one; the other refits train on all
            rows but test. A trial keeps no weights. 0: there are none, and all train on the
            training rows.
        continues: a trial goes on from another's weights, and the tuner sets its epochs.
        keeps_trial: the best trial's own weights are kept, in place of a refit.
    """

    executions: int
    refits: int
    folds: int
    continues: bool
    keeps_trial: bool

    def fold_of(self, refit: int) -> int | None:
        """Return the fold that a refit measures; None: it measures none."""
        return refit if refit < self.folds else None

    def fit_arguments(self, best_epochs: int) -> dict[str, Any]:
        """Return the fit arguments of refits in place of the pipeline's own."""
        if not self.folds:
            return {}
        # No validation rows end a refit: those of a fold are to measure it, and others have none.
        return {"epochs": best_epochs, "validation_data": None}

    def label(self, refit: int) -> str:
        """Return what a refit is called."""
        if self.keeps_trial:
            return "the best trial's own weights"
        return f"refit {refit} ({refit + 1}/{self.refits})"


def of(pipeline: schema.Pipeline) -> Regime:
    """Return a pipeline's regime."""
    tuner, validation = pipeline.tuner, pipeline.validation
    folds = tuner.folds or 0
    return Regime(
        executions=folds or tuner.executions_per_trial,
        refits=folds + validation.repeats,
        folds=folds,
        continues=isinstance(tuner, schema.HyperbandTuner),
        keeps_trial=validation.weights == "trial",
    )
