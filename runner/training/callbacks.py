"""What trainings are watched by: how far they are, and which weights are kept."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np

from foundation import files
from history.ranking import merit
from runner.config.schema import EPOCH, Objective
from runner.data.dataset import Part
from runner.training import ledger, memory

MOMENT = 0.3  # seconds, for which nobody is told of another epoch


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Writes down how far a training is, for whoever looks on, a few times a second at most."""

    def __init__(self, folder: Path, execution: int = 0) -> None:
        super().__init__()
        self.path = folder / EPOCH
        self.due = 0.0
        self.training = f" of training {execution + 1}" if execution else ""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + MOMENT
        total = (self.params or {}).get("epochs", "?")  # none, of a loop of the user's own
        with suppress(OSError):  # it is no reason to fail
            files.make_folder(self.path.parent)
            self.path.write_text(f"{epoch + 1}/{total}{self.training}")


class LastValue(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Goes back to what a model of changes predicts before it is trained, the last value, unless
    what training made of it is better on the validation rows by more than a parameter that tells
    nothing would be by chance (Akaike's criterion).
    """

    monitor = "val_loss"

    def __init__(self, validation: Part) -> None:
        super().__init__()
        self.validation = validation

    def _loss(self) -> float:
        rows = self.validation.given()
        return float(self.model.evaluate(*rows, verbose=0, return_dict=True)["loss"])

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.first_weights = self.model.get_weights()
        self.first_loss = self._loss()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        if not self._loss() * math.exp(2 / len(self.validation)) < self.first_loss:
            self.model.set_weights(self.first_weights)


class BestEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Keeps the weights of the best epoch over all executions in memory; the last where the
    objective is not logged, as a HyperModel with its own `fit` may do.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.highest = -np.inf
        self.weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        value = (logs or {}).get(self.objective.name)
        reached = merit(value, self.objective.sense)
        if value is None or self.weights is None or reached > self.highest:
            self.highest = reached
            self.weights = self.model.get_weights()

    def saved(self, model: "keras.Model") -> bytes:
        """Return a file of the kept weights, without the optimizer's state: three times the size,
        and never read.
        """
        if self.weights is not None:
            model.set_weights(self.weights)
        model.optimizer = None
        return memory.saved(model.save_weights, ledger.CHECKPOINT)
