"""The schema of the config, as plain dataclasses: what a key is called, what it takes, what it defaults to.

check.py reads a config into them. A `problems()` method says what is wrong between the keys of one section, as
(key, message) pairs. Nothing here imports Keras: a config is checked before anything heavy is loaded.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from history.errors import unknown
from runner.check import KEY, REST, Reader, plain
from runner.space import hyperparameters

Issues = Iterator[tuple[str, str]]
NAME = re.compile(r"[a-z][a-z0-9-]*")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


# --- search spaces: Keras Tuner's own hyperparameters and argument names


@dataclass(frozen=True, kw_only=True)
class _Hyperparameter:
    name: str | None = None
    parent_name: str | None = None
    parent_values: list[Any] | None = None

    def problems(self) -> Issues:
        if (self.parent_name is None) != (self.parent_values is None):
            yield "parent_name", "parent_name and parent_values go together"


@dataclass(frozen=True, kw_only=True)
class _Range(_Hyperparameter):
    sampling: Literal["linear", "log", "reverse_log"] = "linear"

    def _range_problems(self, low: float, high: float, step: float | None, default: float | None) -> Issues:
        yield from super().problems()
        for key, bound in (("min_value", low), ("max_value", high)):
            if not math.isfinite(bound):
                yield key, f"must be finite, not {bound}"
        if low > high:
            yield "max_value", f"{high} is below min_value, {low}"
        if self.sampling != "linear" and low <= 0:
            yield "min_value", f"{self.sampling} sampling needs a min_value above 0, not {low}"
        if step is not None and step <= (0 if self.sampling == "linear" else 1):
            yield "step", "must be positive" if self.sampling == "linear" else "multiplies in log sampling: above 1"
        if default is not None and not low <= default <= high:
            yield "default", f"{default} lies outside {low} to {high}"


@dataclass(frozen=True, kw_only=True)
class Int(_Range):
    hp: Literal["Int"] = "Int"
    min_value: int
    max_value: int
    step: int | None = None
    default: int | None = None

    def problems(self) -> Issues:
        yield from self._range_problems(self.min_value, self.max_value, self.step, self.default)


@dataclass(frozen=True, kw_only=True)
class Float(_Range):
    hp: Literal["Float"] = "Float"
    min_value: float
    max_value: float
    step: float | None = None
    default: float | None = None

    def problems(self) -> Issues:
        yield from self._range_problems(self.min_value, self.max_value, self.step, self.default)


@dataclass(frozen=True, kw_only=True)
class Choice(_Hyperparameter):
    hp: Literal["Choice"] = "Choice"
    values: list[Any]
    ordered: bool | None = None
    default: Any = None

    def problems(self) -> Issues:
        yield from super().problems()
        if not self.values:
            yield "values", "must name at least one value"
        elif any(not isinstance(v, (str, int, float, bool)) for v in self.values):
            yield "values", "may hold text, numbers and booleans only (Keras Tuner stores nothing else)"
        elif len({type(v) for v in self.values}) > 1:
            yield "values", "must all be of one type (write 1.0 beside 0.5, quote numbers beside text)"
        elif self.ordered and not isinstance(self.values[0], (int, float)):
            yield "ordered", "only numbers have an order for Keras Tuner; leave it out"
        elif self.default is not None and self.default not in self.values:
            yield "default", f"{self.default!r} is not among the values"


@dataclass(frozen=True, kw_only=True)
class Boolean(_Hyperparameter):
    hp: Literal["Boolean"] = "Boolean"
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class Fixed(_Hyperparameter):
    hp: Literal["Fixed"] = "Fixed"
    value: int | float | str | bool


Hyperparameter = Int | Float | Choice | Boolean | Fixed


# --- the sections of a pipeline


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to import: a dotted path and its arguments."""

    target: str = field(metadata={KEY: "_target_"})
    args: dict[str, Any] = field(default_factory=dict, metadata={REST: True})

    def problems(self) -> Issues:
        if not DOTTED.fullmatch(self.target):
            yield "_target_", f"'{self.target}' is not a dotted path such as my_package.my_module.name"
        for path, _ in hyperparameters(self.args):
            yield path, "a hyperparameter (`hp`) may stand in the sections model and fit only"


@dataclass(frozen=True, kw_only=True)
class Model(Target):
    """A function or HyperModel that builds the model; its arguments may be hyperparameters."""

    def problems(self) -> Issues:
        if not DOTTED.fullmatch(self.target):
            yield "_target_", f"'{self.target}' is not a dotted path such as my_package.my_module.name"
        for path, spec in hyperparameters(self.args):
            reader = Reader()
            reader.read(spec, Hyperparameter, path)
            yield from ((problem.where, problem.what) for problem in reader.problems)


@dataclass(frozen=True, kw_only=True)
class Task:
    kind: Literal["classification", "regression"]
    rank_by: str | None = None  # a validation metric; None: the history manager's default


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which rows are held out. What is drawn is drawn by a seed of its own, so that runs that differ in `seed` alone
    are compared on the same rows."""

    kind: Literal["random", "stratified", "grouped", "chronological", "given"] | None = None
    validation: float = 0.2  # of all rows; of all groups
    test: float = 0.0
    seed: int = 0
    column: str | None = None  # of a table, or an array of an .npz: the group, the time, or the name of the part

    def problems(self) -> Issues:
        if not 0 < self.validation < 1:
            yield "validation", f"must lie between 0 and 1, not {self.validation}"
        if not 0 <= self.test < 1:
            yield "test", f"must be 0 (no test data) or below 1, not {self.test}"
        if not 0 <= self.seed < 2**32:
            yield "seed", f"must lie between 0 and 2^32 - 1, as scikit-learn wants it, not {self.seed}"
        if self.validation + self.test >= 1:
            yield "", "validation and test together leave no training rows"
        if self.kind in ("grouped", "given") and self.column is None:
            says = "the group of each row" if self.kind == "grouped" else "train, validation or test for each row"
            yield "column", f"a {self.kind} split needs the column that says {says}"
        if self.kind in (None, "random", "stratified") and self.column is not None:
            yield "column", "only a grouped, chronological or given split goes by a column"


@dataclass(frozen=True, kw_only=True)
class SklearnData:
    """A table that scikit-learn carries: nothing is downloaded."""

    kind: Literal["sklearn"] = "sklearn"
    name: Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
    split: Split = field(default_factory=Split)

    def problems(self) -> Issues:
        yield from _no_columns(self.split)


@dataclass(frozen=True, kw_only=True)
class TableData:
    """A CSV or Parquet file: a row per line, columns by name. Encoding, filling and scaling happen in the model."""

    kind: Literal["table"] = "table"
    path: str | dict[str, str]  # or a file for each part: train, validation, perhaps test
    target: str
    columns: dict[str, Literal["number", "category", "ignore"]] = field(default_factory=dict)
    missing: Literal["fill", "drop", "error"] = "fill"
    separator: str = ","
    split: Split = field(default_factory=Split)

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split)
        if len(self.separator) != 1:
            yield "separator", f"must be one character, not {self.separator!r}"
        if self.target in self.columns:
            yield f"columns.{self.target}", "is the target, which the task says how to read; leave it out"


@dataclass(frozen=True, kw_only=True)
class NpzData:
    """Arrays of one NumPy .npz file: `x` (rows first) and `y`, under the names given here."""

    kind: Literal["npz"] = "npz"
    path: str | dict[str, str]  # or a file for each part: train, validation, perhaps test
    x: str = "x"
    y: str = "y"
    split: Split = field(default_factory=Split)

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split)


PARTS = ("train", "validation", "test")


def _file_problems(path: str | dict[str, str], split: Split, kind: Literal["file", "folder"] = "file") -> Issues:
    """What is wrong with one file or folder, or with one for each part."""
    there = Path.is_file if kind == "file" else Path.is_dir
    for name, file in path.items() if isinstance(path, dict) else [("", path)]:
        where = f"path.{name}" if name else "path"
        if name and name not in PARTS:
            yield where, unknown("part", name, PARTS)
        elif not there(Path(file)):
            yield where, f"there is no {kind} {Path(file).resolve()}; paths count from the current folder"
    if isinstance(path, dict):
        for name in PARTS[:2]:
            if name not in path:
                yield f"path.{name}", "is required beside the other parts"
        if plain(split) != plain(Split()):
            yield "split", f"the {kind}s are the parts already; leave it out"


def _no_columns(split: Split) -> Issues:
    if split.kind in ("grouped", "given") or split.column is not None:
        yield "split", "goes by a column, which only a table or an .npz file has"


@dataclass(frozen=True, kw_only=True)
class FunctionData(Target):
    """A function that returns (x, y), to be split here, or a mapping of train, validation and perhaps test
    to such pairs, or to streams of batches of them."""

    split: Split = field(default_factory=Split)

    def problems(self) -> Issues:
        yield from super().problems()
        yield from _no_columns(self.split)


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A folder of images with a sub-folder for each class. The names are those of Keras'
    image_dataset_from_directory."""

    kind: Literal["images"] = "images"
    path: str | dict[str, str]  # or a folder for each part: train, validation, perhaps test
    image_size: list[int]  # height, width
    color_mode: Literal["rgb", "grayscale", "rgba"] = "rgb"
    interpolation: Literal["bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian"] = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    split: Split = field(default_factory=Split)

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split, "folder")
        yield from _no_columns(self.split)
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            yield "image_size", f"must be [height, width] in pixels, not {self.image_size}"
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            yield "pad_to_aspect_ratio", "an image is cropped or padded, not both"


@dataclass(frozen=True, kw_only=True)
class WindowData:
    """Windows over the rows of a series, in the order of the file. The names are those of Keras'
    timeseries_dataset_from_array."""

    kind: Literal["windows"] = "windows"
    path: str
    target: str
    features: list[str] | None = None  # None: the columns of numbers, the target's own past among them
    sequence_length: int
    sequence_stride: int = 1
    sampling_rate: int = 1
    horizon: int = 1  # rows from the last of the window to its target
    separator: str = ","
    split: Split = field(default_factory=Split)  # by time

    @property
    def reach(self) -> int:
        """Rows from the first of a window to its target."""
        return (self.sequence_length - 1) * self.sampling_rate + self.horizon

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split)
        if self.split.kind not in (None, "chronological") or self.split.column is not None:
            yield "split", "windows are split by time, in the order of the rows; give validation and test alone"
        for key in ("sequence_length", "sequence_stride", "sampling_rate"):
            if getattr(self, key) < 1:
                yield key, f"must be at least 1, not {getattr(self, key)}"
        if self.horizon < 0:
            yield "horizon", f"must be 0 (the target of the window's last row) or more, not {self.horizon}"
        if self.horizon == 0 and self.target in (self.features or ()):
            yield "features", f"at horizon 0 a window would hold its own target; leave out {self.target}"
        if self.features is not None and (not self.features or len({*self.features}) < len(self.features)):
            yield "features", "must name at least one column, and each once"
        if len(self.separator) != 1:
            yield "separator", f"must be one character, not {self.separator!r}"


Data = SklearnData | TableData | NpzData | ImageData | WindowData | FunctionData


@dataclass(frozen=True, kw_only=True)
class _Tuner:
    executions_per_trial: int = 1
    max_consecutive_failed_trials: int = 3
    directory: str | None = None  # None: trials/ below paths.root
    project_name: str | None = None  # None: <experiment>-<pipeline>

    def problems(self) -> Issues:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                yield entry.name, f"must be at least 1, not {value}"


@dataclass(frozen=True, kw_only=True)
class RandomTuner(_Tuner):
    kind: Literal["random"] = "random"
    max_trials: int = 10


@dataclass(frozen=True, kw_only=True)
class GridTuner(_Tuner):
    kind: Literal["grid"] = "grid"
    max_trials: int | None = None  # None: until the grid is exhausted


@dataclass(frozen=True, kw_only=True)
class BayesianTuner(_Tuner):
    kind: Literal["bayesian"] = "bayesian"
    max_trials: int = 10
    num_initial_points: int | None = None
    alpha: float = 1e-4
    beta: float = 2.6


@dataclass(frozen=True, kw_only=True)
class HyperbandTuner(_Tuner):
    kind: Literal["hyperband"] = "hyperband"
    max_epochs: int = 100
    factor: int = 3
    hyperband_iterations: int = 1

    def problems(self) -> Issues:
        yield from super().problems()
        if self.factor < 2:
            yield "factor", f"must be at least 2, not {self.factor}"


Tuner = RandomTuner | GridTuner | BayesianTuner | HyperbandTuner

_MINIMISED = {"loss", "mae", "mse", "rmse", "msle", "mape", "mean_absolute_error", "mean_squared_error"} | {
    "root_mean_squared_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
}
_MAXIMISED = {"accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "auc"} | {
    "precision",
    "recall",
    "f1_score",
    "r2_score",
}


def known_direction(metric: str) -> Literal["min", "max"] | None:
    """The direction of a metric that goes by a name of Keras, with or without `val_`; None: not known for sure."""
    name = metric.removeprefix("val_")
    return "min" if name in _MINIMISED else "max" if name in _MAXIMISED else None


@dataclass(frozen=True, kw_only=True)
class Objective:
    name: str = "val_loss"
    direction: Literal["min", "max"] | None = None

    def problems(self) -> Issues:
        known = known_direction(self.name)
        if self.direction is None and known is None:
            yield "direction", f"state whether {self.name} is to be minimised or maximised (min or max)"
        if self.direction is not None and known is not None and self.direction != known:
            yield "direction", f"{self.name} is better when {'lower' if known == 'min' else 'higher'}: {known}"

    @property
    def sense(self) -> Literal["min", "max"]:
        """The stated direction, or the one known for sure."""
        direction = self.direction or known_direction(self.name)
        assert direction is not None, "problems() was not heeded"
        return direction


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Arguments of Keras' fit. Each may be a hyperparameter; what is None is not passed on."""

    epochs: int | Hyperparameter | None = None  # None: 10, unless a HyperModel has its own fit
    batch_size: int | Hyperparameter | None = None  # None: Keras' default, 32
    shuffle: bool | Hyperparameter | None = None
    class_weight: dict[str, float | Hyperparameter] | None = None  # class name → weight

    def problems(self) -> Issues:
        for key in ("epochs", "batch_size"):
            value = getattr(self, key)
            if isinstance(value, int) and value < 1:
                yield key, f"must be at least 1, not {value}"


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The refit of the best hyperparameters. What is None is taken from the search."""

    epochs: int | None = None
    batch_size: int | None = None
    callbacks: dict[str, Target | None] | None = None
    repeats: int = 1

    def problems(self) -> Issues:
        for key in ("epochs", "batch_size", "repeats"):
            value = getattr(self, key)
            if value is not None and value < 1:
                yield key, f"must be at least 1, not {value}"


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One pipeline, with what it inherited."""

    task: Task
    data: Data
    model: Model
    tuner: Tuner
    objective: Objective = field(default_factory=Objective)
    fit: Fit = field(default_factory=Fit)
    validation: Validation = field(default_factory=Validation)
    callbacks: dict[str, Target | None] = field(default_factory=dict)
    manager: str | None = None  # a name of the history's registry; None: the task

    @property
    def manager_name(self) -> str:
        return self.manager or self.task.kind


SECTIONS = tuple(f.name for f in fields(Pipeline))


# --- the run


@dataclass(frozen=True, kw_only=True)
class Paths:
    root: str = "results"


@dataclass(frozen=True, kw_only=True)
class InlineExecutor:
    """Trials run in this process, one after the other."""

    kind: Literal["inline"] = "inline"


@dataclass(frozen=True, kw_only=True)
class TinyDBHistory:
    kind: Literal["tinydb"] = "tinydb"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What holds for a whole run: the root keys, beside the sections that pipelines inherit."""

    seed: int = 0
    deterministic: bool = False  # deterministic kernels on a GPU, at their price
    threads: int = 2  # intra-op threads of one training; part of the result
    backend: Literal["tensorflow"] = "tensorflow"
    mode: Literal["run", "check"] = "run"  # check: all that can be checked without training, and what a run would cost
    only: list[str] | None = None
    fresh: bool = False
    reuse: bool = False  # take pipelines from the history that it already holds
    reproduce: str | None = None  # an entry to run again from the history alone, and to compare
    reproduce_search: bool = False  # its whole search too
    predict: str | None = None  # an entry whose model is applied to `input`
    input: str | None = None  # rows: .csv, .parquet or .npz
    output: str | None = None  # where the predictions go, likewise
    trust: bool = False  # import what a stored config or model names
    on_failure: Literal["continue", "stop"] = "continue"
    progress: bool = True
    paths: Paths = field(default_factory=Paths)
    executor: InlineExecutor = field(default_factory=InlineExecutor)
    history: TinyDBHistory = field(default_factory=TinyDBHistory)
    hooks: dict[str, Target | None] = field(default_factory=dict)

    def problems(self) -> Issues:
        if self.threads < 1:
            yield "threads", f"must be at least 1, not {self.threads}"
        if not 0 <= self.seed < 2**63:
            yield "seed", f"must lie between 0 and 2^63 - 1, not {self.seed}"
        if self.reproduce and self.predict:
            yield "predict", "cannot be done together with reproduce; run one after the other"
        if self.mode == "check" and (self.reproduce or self.predict):
            yield "mode", "check looks at an experiment; reproduce and predict check what they need by themselves"
        if self.fresh and self.reuse:
            yield "reuse", "contradicts fresh=true, which starts the searches anew; choose one"
        if self.reproduce_search and not self.reproduce:
            yield "reproduce_search", "needs reproduce=ENTRY"
        for key in ("input", "output"):
            if getattr(self, key) and not self.predict:
                yield key, "needs predict=ENTRY"
            if self.predict and not getattr(self, key):
                yield "predict", f"needs {key}=FILE too"


@dataclass(frozen=True)
class Experiment:
    """A checked config: the run's settings and its pipelines, in order, each with all that it inherited."""

    name: str
    run: Run
    pipelines: dict[str, Pipeline]
    overrides: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        return Path(self.run.paths.root).resolve()


def pipeline_name_problem(name: str) -> str | None:
    """Why a pipeline may not be called so; its name begins the ids of its entries."""
    if NAME.fullmatch(name):
        return None
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    hint = f"; '{better}' would do" if NAME.fullmatch(better) else ""
    return f"a pipeline's name holds lower-case letters, digits and '-' and begins with a letter{hint}"
