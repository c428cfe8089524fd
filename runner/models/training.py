"""How the recipes are trained where the config does not say it."""

import math
from dataclasses import dataclass
from typing import Any

from runner import later as keras
from runner.data.facts import Facts


@dataclass(frozen=True)
class Schedule:
    """The epochs; how many batches the rows are divided into, which then have at least some
    `smallest` number of rows; and how many epochs without an improvement end a training.
    """

    epochs: int
    batches: int
    smallest: int
    patience: int


LARGEST = 256  # rows of a batch
SCHEDULES = {
    # never stopped early: the last of its cycles is the best
    "runner.models.tabular": Schedule(epochs=64, batches=24, smallest=16, patience=10**9),
    "runner.models.series": Schedule(epochs=100, batches=72, smallest=32, patience=20),
}


def trained(target: str, facts: Facts) -> dict[str, Any]:
    """Return how a model is trained, as arguments of Keras' fit, where the config does not say it.

    Args:
        target: the dotted path of the model's function.
        facts: what is known of the training data.
    """
    schedule = SCHEDULES.get(target)
    if schedule is None:
        return {}
    size = min(max(facts.rows / schedule.batches, schedule.smallest), LARGEST)
    batch_size = 2 ** round(math.log2(size))
    if target == "runner.models.series":
        # Keras may have the same batches in each epoch (seen with 3.15, on TensorFlow, with a
        # seed), and a last one of a row or two then spoils a training: all are equal
        batches = math.ceil(facts.rows / batch_size)
        batch_size = math.ceil(facts.rows / batches)
    stopping = keras.callbacks.EarlyStopping(patience=schedule.patience, restore_best_weights=True)
    return {"epochs": schedule.epochs, "batch_size": batch_size, "callbacks": [stopping]}
