"""What a search costs beyond its trainings: ours and Keras Tuner's own, as ratios to the bare Keras
fits.

    python benchmarks/search.py [--trials 8] [--rounds 3]

The three run in turn in one process, on the same data, model and number of epochs; only the ratios
mean anything. Memory: the growth of this process over our searches, per trial.
"""

import argparse
import contextlib
import io
import logging
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runner.config.schema import (
    Fit,
    Model,
    Objective,
    Pipeline,
    RandomTuner,
    Run,
    SklearnData,
    Task,
)
from runner.training import environment

RUN = Run()


def pipeline(trials: int) -> Pipeline:
    space = {
        "_target_": "runner.models.mlp",
        "hidden": {"h1": {"hp": "Int", "min_value": 16, "max_value": 128}},
        "dropout": 0.2,
    }
    return Pipeline(
        task=Task(kind="regression"),
        data=SklearnData(name="diabetes"),
        model=Model.model_validate(space),
        tuner=RandomTuner(max_trials=trials),
        objective=Objective(name="val_loss"),
        fit=Fit(epochs=10, batch_size=32),
    )


def bare(settings: Pipeline, trials: int) -> None:
    """Do the fits alone, as a plain Keras script would."""
    import keras_tuner

    from runner.training.build import bench

    ready = bench(settings)
    dataset, maker = ready.dataset, ready.hypermodel
    for trial in range(trials):
        hp = keras_tuner.HyperParameters()
        hp.values = {"model.hidden.h1": 16 + trial}
        model = maker.build(hp)
        held = (dataset.validation.x, dataset.validation.y)
        model.fit(
            dataset.train.x,
            dataset.train.y,
            validation_data=held,
            epochs=10,
            batch_size=32,
            verbose=0,
        )


def ours(settings: Pipeline, folder: Path) -> None:
    from runner.search.loop import search
    from runner.search.state import Place

    place = Place(folder / "search" / "0", "0", folder)
    search(RUN, settings, place, {"pipeline": "bench"}, lambda *_: None)


def keras_tuners(settings: Pipeline, trials: int, folder: Path) -> None:
    import keras_tuner

    from runner.training.build import bench

    ready = bench(settings)
    dataset, maker = ready.dataset, ready.hypermodel
    tuner = keras_tuner.RandomSearch(
        maker, "val_loss", trials, seed=1, directory=folder, project_name="plain"
    )
    held = (dataset.validation.x, dataset.validation.y)
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.search(
            dataset.train.x,
            dataset.train.y,
            validation_data=held,
            epochs=10,
            batch_size=32,
            verbose=0,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    environment.prepare(RUN)
    logging.disable(logging.INFO)
    settings = pipeline(options.trials)
    bare(settings, 1)  # warm-up
    ratios: dict[str, list[float]] = {"ours": [], "Keras Tuner's": []}
    grown = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            base = _seconds(bare, settings, options.trials)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            ratios["ours"].append(_seconds(ours, settings, folder) / base)
            grown.append(
                (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
                / 1000
                / options.trials
            )
            ratios["Keras Tuner's"].append(
                _seconds(keras_tuners, settings, options.trials, folder) / base
            )
    print(
        f"{options.rounds} rounds of {options.trials} trials; "
        "time as a ratio to the bare fits: median (min to max)"
    )
    for name, values in ratios.items():
        print(f"{name:14} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    print(f"our peak memory grew by {statistics.median(grown):.1f} MB a trial")


def _seconds(function: Any, *arguments: Any) -> float:
    clock = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - clock


if __name__ == "__main__":
    main()
