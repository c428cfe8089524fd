"""The schema of the config, as plain dataclasses: what a key is called, what it takes, what it defaults to, and in the
comment beside or above it, from which REFERENCE.md is written, what it means.

check.py reads a config into them. A `problems()` method says what is wrong between the keys of one section, as
(key, message) pairs. Nothing here imports Keras: a config is checked before anything heavy is loaded.
"""

# fmt: off
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from history.errors import unknown
from runner.config.check import KEY, REST, Reader
from runner.config.space import hyperparameters

Issues = Iterator[tuple[str, str]]
NAME = re.compile(r"[a-z][a-z0-9-]*")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def _below_one(section: object, *keys: str) -> Issues:
    for key in keys:
        value = getattr(section, key)
        if isinstance(value, int) and value < 1:
            yield key, f"must be at least 1, not {value}"


# --- search spaces: Keras Tuner's own hyperparameters and argument names


@dataclass(frozen=True, kw_only=True)
class _Hyperparameter:
    name: str | None = None  # what values are recorded under; null: its dotted path, model.dropout
    parent_name: str | None = None  # another hyperparameter that decides whether this one is drawn
    parent_values: list[Any] | None = None  # the values of that one with which it is

    def problems(self) -> Issues:
        if (self.parent_name is None) != (self.parent_values is None):
            yield "parent_name", "parent_name and parent_values go together"


@dataclass(frozen=True, kw_only=True)
class _Range(_Hyperparameter):
    min_value: float  # the lowest value
    max_value: float  # the highest value
    step: float | None = None  # between neighbouring values; in log sampling a factor
    default: float | None = None  # the value of the first trial of a model; null: min_value
    sampling: Literal["linear", "log", "reverse_log"] = "linear"  # how values are spread over the range

    def problems(self) -> Issues:
        yield from super().problems()
        low, high = self.min_value, self.max_value
        for key, bound in (("min_value", low), ("max_value", high)):
            if not math.isfinite(bound):
                yield key, f"must be finite, not {bound}"
        if low > high:
            yield "max_value", f"{high} is below min_value, {low}"
        if self.sampling != "linear" and low <= 0:
            yield "min_value", f"{self.sampling} sampling needs a min_value above 0, not {low}"
        if self.step is not None and self.step <= (0 if self.sampling == "linear" else 1):
            yield "step", "must be positive" if self.sampling == "linear" else "multiplies in log sampling: above 1"
        if self.default is not None and not low <= self.default <= high:
            yield "default", f"{self.default} lies outside {low} to {high}"


@dataclass(frozen=True, kw_only=True)
class Int(_Range):
    hp: Literal["Int"] = "Int"  # whole numbers of a range
    min_value: int  # the lowest value
    max_value: int  # the highest value
    step: int | None = None  # between neighbouring values; in log sampling a factor
    default: int | None = None  # the value of the first trial of a model; null: min_value


@dataclass(frozen=True, kw_only=True)
class Float(_Range):
    hp: Literal["Float"] = "Float"  # numbers of a range


@dataclass(frozen=True, kw_only=True)
class Choice(_Hyperparameter):
    hp: Literal["Choice"] = "Choice"  # one of a list
    values: list[Any]  # text, numbers or booleans, all of one type
    ordered: bool | None = None  # numbers have an order; null: yes, where they are numbers
    default: Any = None  # null: the first value

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
    hp: Literal["Boolean"] = "Boolean"  # true or false
    default: bool = False  # the value it is built with first


@dataclass(frozen=True, kw_only=True)
class Fixed(_Hyperparameter):
    hp: Literal["Fixed"] = "Fixed"  # one value, recorded in every trial
    value: int | float | str | bool  # that value


Hyperparameter = Int | Float | Choice | Boolean | Fixed


# --- the sections of a pipeline


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to import: a dotted path and its arguments."""

    target: str = field(metadata={KEY: "_target_"})  # a dotted path: package.module.name
    args: dict[str, Any] = field(default_factory=dict, metadata={REST: True})  # its arguments

    def problems(self) -> Issues:
        if not DOTTED.fullmatch(self.target):
            yield "_target_", f"'{self.target}' is not a dotted path such as my_package.my_module.name"
        for path, spec in hyperparameters(self.args):
            yield from self._hyperparameter_problems(path, spec)

    def _hyperparameter_problems(self, path: str, spec: Any) -> Issues:
        yield path, "a hyperparameter (`hp`) may stand in the sections model and fit only"


@dataclass(frozen=True, kw_only=True)
class Model(Target):
    """A function or HyperModel that builds the model; its arguments may be hyperparameters."""

    def _hyperparameter_problems(self, path: str, spec: Any) -> Issues:
        reader = Reader()
        reader.read(spec, Hyperparameter, path)
        yield from ((problem.where, problem.what) for problem in reader.problems)


@dataclass(frozen=True, kw_only=True)
class Task:
    kind: Literal["classification", "regression"]  # what is predicted: a class, or a number
    rank_by: str | None = None  # the validation metric that orders pipelines; null: the history manager's default


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which rows are held out. What is drawn is drawn by a seed of its own, so that runs that differ in `seed` alone
    are compared on the same rows."""

    # how rows are chosen; null: stratified for a classification, else random
    kind: Literal["random", "stratified", "grouped", "chronological", "given"] | None = None
    validation: float = 0.2  # share of the rows, or of the groups, that trials are scored on
    test: float = 0.0  # share that no decision looks at; 0: no test rows
    seed: int = 0  # draws the rows; apart from the run's, so that seeds are compared on the same rows
    column: str | None = None  # the group, the time, or the name of the part: of a table, or an array of an .npz file

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

    kind: Literal["sklearn"] = "sklearn"  # a table that scikit-learn carries
    name: Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]  # which of them
    split: Split = field(default_factory=Split)  # which rows are held out

    def problems(self) -> Issues:
        yield from _no_columns(self.split)


@dataclass(frozen=True, kw_only=True)
class TableData:
    """A CSV or Parquet file: a row per line, columns by name. Encoding, filling and scaling happen in the model."""

    kind: Literal["table"] = "table"  # a CSV or Parquet file
    path: str | dict[str, str]  # the file, or a file for each part: train, validation, perhaps test
    target: str  # the column that is predicted
    # how to read a column where its content does not tell; ignore leaves it out
    columns: dict[str, Literal["number", "category", "ignore"]] = field(default_factory=dict)
    missing: Literal["fill", "drop", "error"] = "fill"  # what becomes of rows with empty cells
    separator: str = ","  # between the cells of a CSV file
    decimal: Literal[".", ","] = "."  # in the numbers of a CSV file
    split: Split = field(default_factory=Split)  # which rows are held out

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split)
        if len(self.separator) != 1:
            yield "separator", f"must be one character, not {self.separator!r}"
        if self.target in self.columns:
            yield f"columns.{self.target}", "is the target, which the task says how to read; leave it out"


@dataclass(frozen=True, kw_only=True)
class NpzData:
    """Arrays of one NumPy .npz file: `x` (rows first) and `y`, under the names given here."""

    kind: Literal["npz"] = "npz"  # a NumPy .npz file
    path: str | dict[str, str]  # the file, or a file for each part: train, validation, perhaps test
    x: str = "x"  # the name of the array of rows
    y: str = "y"  # the name of the array of targets
    split: Split = field(default_factory=Split)  # which rows are held out

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
        if split.kind is not None:
            yield "split.kind", f"the {kind}s are the parts already; leave it out"


def _no_columns(split: Split) -> Issues:
    if split.kind in ("grouped", "given") or split.column is not None:
        yield "split", "goes by a column, which only a table or an .npz file has"


@dataclass(frozen=True, kw_only=True)
class FunctionData(Target):
    """A function that returns (x, y), to be split here, or a mapping of train, validation and perhaps test
    to such pairs, or to streams of batches of them."""

    split: Split = field(default_factory=Split)  # which rows are held out, where the function returns one pair

    def problems(self) -> Issues:
        yield from super().problems()
        yield from _no_columns(self.split)


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A folder of images with a sub-folder for each class. The names are those of Keras'
    image_dataset_from_directory."""

    kind: Literal["images"] = "images"  # a folder of images
    # with a sub-folder for each class; or such a folder for each part: train, validation, perhaps test
    path: str | dict[str, str]
    image_size: list[int]  # [height, width] in pixels, to which each is resized
    color_mode: Literal["rgb", "grayscale", "rgba"] = "rgb"  # the channels that are read
    # how an image is resized
    interpolation: Literal["bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian"] = "bilinear"
    crop_to_aspect_ratio: bool = False  # cut what does not fit the size, instead of distorting
    pad_to_aspect_ratio: bool = False  # fill up what is missing to the size, instead of distorting
    split: Split = field(default_factory=Split)  # which images are held out

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

    kind: Literal["windows"] = "windows"  # windows over a series
    path: str  # a .csv, .parquet or .npz file, its rows in the order of time
    target: str  # the column that is predicted
    # the columns of a window; null: those of numbers, the target's own past among them
    features: list[str] | None = None
    sequence_length: int  # rows of a window
    sequence_stride: int = 1  # rows from one window to the next
    sampling_rate: int = 1  # rows from one in a window to its next
    horizon: int = 1  # rows from the last of the window to its target
    separator: str = ","  # between the cells of a CSV file
    decimal: Literal[".", ","] = "."  # in the numbers of a CSV file
    split: Split = field(default_factory=Split)  # which windows are held out: the last ones, by time

    @property
    def reach(self) -> int:
        """Rows from the first of a window to its target."""
        return (self.sequence_length - 1) * self.sampling_rate + self.horizon

    def problems(self) -> Issues:
        yield from _file_problems(self.path, self.split)
        if self.split.kind not in (None, "chronological") or self.split.column is not None:
            yield "split", "windows are split by time, in the order of the rows; give validation and test alone"
        yield from _below_one(self, "sequence_length", "sequence_stride", "sampling_rate")
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
    executions_per_trial: int = 1  # trainings of each trial, over which its score is the mean
    max_consecutive_failed_trials: int = 3  # so many failures one after the other end the search
    directory: str | None = None  # where trial data goes; null: trials/ below paths.root
    project_name: str | None = None  # its folder there; null: <experiment>-<pipeline>

    def problems(self) -> Issues:
        yield from _below_one(self, *(entry.name for entry in fields(self)))


@dataclass(frozen=True, kw_only=True)
class RandomTuner(_Tuner):
    kind: Literal["random"] = "random"  # values drawn at random
    max_trials: int = 10  # how many trials; a larger number goes on with the same search


@dataclass(frozen=True, kw_only=True)
class GridTuner(_Tuner):
    kind: Literal["grid"] = "grid"  # every combination in order
    max_trials: int | None = None  # null: until the grid is exhausted


@dataclass(frozen=True, kw_only=True)
class BayesianTuner(_Tuner):
    kind: Literal["bayesian"] = "bayesian"  # values where a Gaussian process expects the most
    max_trials: int = 10  # how many trials; a larger number goes on with the same search
    # trials at random before the process is asked; null: three for each hyperparameter
    num_initial_points: int | None = None
    alpha: float = 1e-4  # the noise that the process expects in scores
    beta: float = 2.6  # weight of what is not known yet against what is known to be good


@dataclass(frozen=True, kw_only=True)
class HyperbandTuner(_Tuner):
    kind: Literal["hyperband"] = "hyperband"  # many short trainings, of which the best go on
    max_epochs: int = 100  # of the longest training
    factor: int = 3  # the best of each round, one in `factor`, train `factor` times as long
    hyperband_iterations: int = 1  # how often the whole schedule runs

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
    name: str = "val_loss"  # a metric of the model, val_ before it for the validation rows
    direction: Literal["min", "max"] | None = None  # null: known by the name for Keras' own losses and common metrics

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

    epochs: int | Hyperparameter | None = None  # of each trial; null: 10, unless a HyperModel has its own fit
    batch_size: int | Hyperparameter | None = None  # rows of a step; null: Keras' default, 32
    # whether rows are shuffled before each epoch; null: Keras' default, yes
    shuffle: bool | Hyperparameter | None = None
    class_weight: dict[str, float | Hyperparameter] | None = None  # class name → weight in the loss

    def problems(self) -> Issues:
        yield from _below_one(self, "epochs", "batch_size")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The refit of the best hyperparameters. What is None is taken from the search."""

    epochs: int | None = None  # of the refit; null: as in the best trial
    batch_size: int | None = None  # of the refit; null: as in the best trial
    callbacks: dict[str, Target | None] | None = None  # of the refit; null: those of the search
    repeats: int = 1  # refits, each with its own seed; several tell the noise

    def problems(self) -> Issues:
        yield from _below_one(self, "epochs", "batch_size", "repeats")


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One pipeline, with what it inherited."""

    task: Task  # what is predicted
    data: Data  # the rows, and which of them are held out
    model: Model  # what builds the model; its arguments may be hyperparameters
    tuner: Tuner  # how the search goes, and its budget
    # what a search looks at; a pipeline's replaces the root's whole
    objective: Objective = field(default_factory=Objective)
    # arguments of Keras' fit, each perhaps a hyperparameter; null is not passed on
    fit: Fit = field(default_factory=Fit)
    # the refit of the best hyperparameters; null is taken from the search
    validation: Validation = field(default_factory=Validation)
    # Keras callbacks of search and refit, by name; null takes one out
    callbacks: dict[str, Target | None] = field(default_factory=dict)
    manager: str | None = None  # the history manager, a name of the registry; null: the task

    @property
    def manager_name(self) -> str:
        return self.manager or self.task.kind


SECTIONS = tuple(f.name for f in fields(Pipeline))


# --- the run


@dataclass(frozen=True, kw_only=True)
class Paths:
    root: str = "results"  # the folder that everything goes to

    def problems(self) -> Issues:
        if not self.root:
            yield "root", "must name a folder; `.` is the current one"


@dataclass(frozen=True, kw_only=True)
class InlineExecutor:
    """Trials run in this process, one after the other."""

    kind: Literal["inline"] = "inline"  # in this process, one trial after the other


@dataclass(frozen=True, kw_only=True)
class TinyDBHistory:
    kind: Literal["tinydb"] = "tinydb"  # one JSON file below paths.root


@dataclass(frozen=True, kw_only=True)
class Run:
    """What holds for a whole run: the root keys, beside the sections that pipelines inherit."""

    seed: int = 0  # decides everything that is drawn at random, except the split of the data
    deterministic: bool = False  # deterministic kernels on a GPU, at their price
    threads: int = 2  # intra-op threads of one training; part of the result, so not taken from the machine
    # of Keras; another than tensorflow is an extra of the project
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    mode: Literal["run", "check"] = "run"  # check: all that can be checked without training, and what a run would cost
    only: list[str] | None = None  # these pipelines, in this order; null: all
    fresh: bool = False  # start the searches anew, beside what is there
    reuse: bool = False  # take pipelines from the history that it already holds
    reproduce: str | None = None  # an entry to run again from the history alone, and to compare
    reproduce_search: bool = False  # its whole search too
    predict: str | None = None  # an entry whose model is applied to `input`
    input: str | None = None  # a file of rows: .csv, .parquet or .npz
    output: str | None = None  # a file that the predictions go to, likewise
    trust: bool = False  # import what a stored config or model names
    on_failure: Literal["continue", "stop"] = "continue"  # what happens to the other pipelines when one fails
    progress: bool = True  # a line per trial on stderr
    paths: Paths = field(default_factory=Paths)  # where things go
    executor: InlineExecutor = field(default_factory=InlineExecutor)  # where trials run
    history: TinyDBHistory = field(default_factory=TinyDBHistory)  # where entries are kept
    # functions that run after all pipelines, by name, purge last; null takes one out
    hooks: dict[str, Target | None] = field(default_factory=dict)

    def problems(self) -> Issues:
        yield from _below_one(self, "threads")
        if not 0 <= self.seed < 2**63:
            yield "seed", f"must lie between 0 and 2^63 - 1, not {self.seed}"
        if find_spec(self.backend) is None:
            yield "backend", f"{self.backend} is not installed; in the project's clone: pip install '.[{self.backend}]'"
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
