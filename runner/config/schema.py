"""The schema of the config: what a key is called, what it takes and what it defaults to, and below
each key what it means, from which REFERENCE.md and the editors' JSON Schema are written.

check.py reads a config into it. `rules()` of a section yield what is wrong between its keys: at
which of them, and the message.
Nothing here imports Keras: a config is checked before anything heavy is loaded.
"""
# ruff: noqa: RUF012 - each instance has a copy of a default, as pydantic has it

import re
from codecs import lookup
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from os.path import expanduser
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    Tag,
    ValidationError,
)

from foundation import errors
from history import config
from history.records import Direction
from runner.config.section import (
    MAPPING,
    VALUE,
    Either,
    OneOf,
    Rule,
    Scalar,
    Section,
    fault,
    faults,
)
from runner.config.space import hyperparameters

NAME = r"[a-z][a-z0-9-]{0,99}"  # of a pipeline
PARTS = ("train", "validation", "test")
JOINED = "runner.models.tabular", "runner.models.series"  # their refits, unless told otherwise

Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


def _present(path: str) -> str:
    if not Path(path).exists():
        raise fault(
            f"{Path(path).resolve()} does not exist; paths are relative to the current folder"
        )
    return path


# Every path of a config is one of these: `~` in it is the home folder.
Location = Annotated[str, Field(min_length=1), AfterValidator(expanduser)]
Existing = Annotated[Location, AfterValidator(_present)]


def _below(pattern: str) -> str:
    parts = PurePosixPath(pattern).parts
    if not parts or any(part in ("/", "..") or "**" in part != "**" for part in parts):
        raise fault("must be a pattern of files below ${trial.folder}, such as '*.csv'")
    return pattern


# What arguments of callbacks may say of the training that they are of.
OF_A_TRIAL = ("id", "folder", "execution")
SAID = re.compile(r"\$\{\s*trial\.([^}]*?)\s*\}")
# what the models of runner.models report beside their loss
METRICS = {"classification": ["accuracy"], "regression": ["mse", "mae"]}
CALLBACKS = "callbacks"  # the folder of a trial or refit that its callbacks' are in
EPOCH = "epoch"  # the file there that says, while it trains, how far it is


# --- search spaces: Keras Tuner's own hyperparameters and argument names


class _Hyperparameter(Section):
    name: str | None = None
    """The name under which values are recorded; null: its dotted path, such as model.dropout."""
    parent_name: str | None = None
    """Another hyperparameter, on whose value it depends whether this one exists."""
    parent_values: list[Scalar] | None = None
    """The values of that other hyperparameter for which this one exists."""

    def rules(self) -> Iterable[Rule]:
        if (self.parent_name is None) != (self.parent_values is None):
            yield "parent_name", "parent_name and parent_values go together"


N = TypeVar("N", bound=float)


class _Range(_Hyperparameter, Generic[N]):
    min_value: N
    """The lowest value."""
    max_value: N
    """The highest value."""
    step: N | None = None
    """The distance between neighbouring values; with log sampling, a factor."""
    default: N | None = None
    """The value in the first trial, if any hyperparameter has a default; null: min_value."""
    sampling: Literal["linear", "log", "reverse_log"] = "linear"
    """How values are spread over the range."""

    def rules(self) -> Iterable[Rule]:
        low, high = self.min_value, self.max_value
        least = 0 if self.sampling == "linear" else 1  # a factor of 1 leads nowhere
        yield from super().rules()
        if low > high:
            yield "max_value", f"{high} is below min_value, {low}"
        if least and low <= 0:
            yield "min_value", f"{self.sampling} sampling needs a min_value above 0, not {low}"
        if self.step is not None and self.step <= least:
            yield "step", f"must be above {least}, not {self.step}"
        if self.default is not None and not low <= self.default <= high:
            yield "default", f"{self.default} is outside {low} to {high}"


class Int(_Range[int]):
    hp: Literal["Int"] = "Int"
    """Whole numbers in a range."""


class Float(_Range[float]):
    hp: Literal["Float"] = "Float"
    """Numbers in a range."""


class Choice(_Hyperparameter):
    hp: Literal["Choice"] = "Choice"
    """One value of a list."""
    values: Annotated[list[Scalar], Field(min_length=1)]
    """Text, numbers or booleans, all of one type."""
    ordered: bool | None = None
    """Whether the values have an order; null: yes, if they are numbers."""
    default: Scalar | None = None
    """The value in the first trial, if any hyperparameter has a default; null: the first of the
    list."""

    def rules(self) -> Iterable[Rule]:
        yield from super().rules()
        if len(set(map(type, self.values))) > 1:
            yield (
                "values",
                "must all be of one type (write 1.0 next to 0.5; quote numbers next to text)",
            )
        if self.ordered and isinstance(self.values[0], str):
            yield "ordered", "Keras Tuner orders only numbers; remove it"
        if self.default is not None and self.default not in self.values:
            yield "default", f"{self.default!r} is not among the values"


class Boolean(_Hyperparameter):
    hp: Literal["Boolean"] = "Boolean"
    """True or false."""
    default: bool = False
    """The value in the first trial, if any hyperparameter has a default."""


class Fixed(_Hyperparameter):
    hp: Literal["Fixed"] = "Fixed"
    """One value, recorded in every trial."""
    value: Scalar
    """The value."""


HYPERPARAMETERS = Int | Float | Choice | Boolean | Fixed
Hyperparameter = Annotated[HYPERPARAMETERS, OneOf(HYPERPARAMETERS)]


# --- the sections of a pipeline


class Target(Section, extra="allow"):
    """Something to import: a dotted path and its arguments."""

    target: str = Field(alias="_target_")
    """A dotted path: package.module.name."""

    @property
    def args(self) -> dict[str, Any]:
        """The arguments that it is called with."""
        return self.model_extra or {}

    def rules(self) -> Iterable[Rule]:
        if not config.DOTTED.fullmatch(self.target):
            yield "_target_", f"'{self.target}' is not a dotted path such as my_module.name"
        for path, spec in hyperparameters(self.args):
            yield from self.rules_of_space(path, spec)

    def rules_of_space(self, path: str, spec: object) -> Iterable[Rule]:
        """Yield what is wrong with a hyperparameter among the arguments."""
        yield path, "a hyperparameter (`hp`) is only allowed in the sections model and fit"


class Model(Target):
    """A function or HyperModel that builds the model; its arguments may be hyperparameters."""

    def rules_of_space(self, path: str, spec: object) -> Iterable[Rule]:
        try:
            OneOf(HYPERPARAMETERS).read(spec)
        except ValidationError as error:
            yield from faults(error, path)


class Task(Section):
    kind: Literal["classification", "regression"]
    """What is predicted: a class, or a number."""
    rank_by: str | None = None
    """The validation metric that ranks pipelines: one of the task's, or one that your model
    reports; null: the history manager's default."""
    direction: Direction | None = None
    """Whether lower (min) or higher (max) is better; null: known for the task's metrics, for some
    of Keras', and for the objective."""


class Split(Section):
    """Which rows are held out. They are drawn with a seed of their own, so that runs that differ
    only in `seed` are compared on the same rows.
    """

    kind: Literal["random", "stratified", "grouped", "chronological", "given"] | None = None
    """How rows are chosen; null: stratified for classification, otherwise random."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share of the rows (or groups) on which trials are scored."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the rows that no decision is based on; 0: no test rows."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed with which rows are drawn; separate from the run's seed, so that seeds are compared
    on the same rows."""
    column: str | None = None
    """The column of a table, or array of an .npz file, that holds the group, the time, or the name
    of the part."""

    def rules(self) -> Iterable[Rule]:
        if self.validation + self.test >= 1:
            yield "", "validation and test leave no training rows"
        if self.kind in ("grouped", "given") and not self.column:
            yield (
                "column",
                f"a {self.kind} split needs the column that says the group or part of each row",
            )
        if self.kind in (None, "random", "stratified") and self.column:
            yield "column", "only a grouped, chronological or given split uses a column"


class _Source(Section):
    split: Split = Split()
    """Which rows are held out."""

    def rules(self) -> Iterable[Rule]:
        if self.split.column or self.split.kind in ("grouped", "given"):
            yield "split", "needs a column, which only a table or an .npz file has"
        yield from super().rules()


class _Files(_Source):
    path: Either[Existing, dict[str, Existing]]
    """The file or folder, or one for each part: train, validation, and optionally test."""

    @property
    def paths(self) -> dict[str, str]:
        """The files by part; one of all rows under the name ""."""
        return self.path if isinstance(self.path, dict) else {"": self.path}

    def rules(self) -> Iterable[Rule]:
        if not isinstance(self.path, dict):
            return
        if self.split.kind:
            yield "split.kind", "path already names the parts; remove it"
        for name in ("train", "validation"):
            if name not in self.path:
                yield f"path.{name}", "is required along with the other parts"
        for name in self.path:
            if name not in PARTS:
                yield f"path.{name}", errors.unknown("part", name, PARTS)


def _codec(name: str) -> str:
    try:
        return lookup(name).name
    except LookupError:
        raise fault(f"unknown encoding '{name}'; use one such as utf-8, cp1252 or utf-16") from None


class Dialect(Section):
    """How a CSV file is written."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates the cells of a CSV file."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of a CSV file."""
    thousands: Literal["", ",", ".", " ", "'"] | None = None
    """What separates groups of three digits; "": nothing; null: what a column proves, as 1,234,567
    does."""
    na_values: list[str] = []
    """Texts in a CSV file that stand for a missing value, in addition to the empty cell."""
    encoding: Annotated[str, AfterValidator(_codec)] = "utf-8"
    """The encoding of a CSV file, as Python names it: cp1252, utf-16, ..."""

    @property
    def codec(self) -> str:
        """The encoding; UTF-8 may begin with a mark."""
        return "utf-8-sig" if self.encoding == "utf-8" else self.encoding


class SklearnData(_Source):
    """A table that comes with scikit-learn; nothing is downloaded."""

    kind: Literal["sklearn"] = "sklearn"
    """A table that comes with scikit-learn."""
    name: Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
    """Which of them."""


class TableData(_Files, Dialect):
    """A CSV or Parquet file with named columns. Encoding, filling and scaling happen inside the
    model.
    """

    kind: Literal["table"] = "table"
    """A CSV or Parquet file."""
    target: str
    """The column that is predicted."""
    columns: dict[str, Literal["number", "category", "date", "text", "ignore"]] = {}
    """How to read a column, if its content does not show it; ignore leaves it out. A date becomes
    four numbers: year, month, weekday, and days since the first one; for a text, the model sees
    which of its frequent words occur."""
    missing: Literal["fill", "drop", "error"] = "fill"
    """What to do with rows that have empty cells."""

    def rules(self) -> Iterable[Rule]:
        yield from super().rules()
        if self.target in self.columns:
            yield (
                f"columns.{self.target}",
                "is the target, whose kind follows from the task; remove it",
            )


class NpzData(_Files):
    """Arrays of a NumPy .npz file: `x` (rows first) and `y`, under the names given here."""

    kind: Literal["npz"] = "npz"
    """A NumPy .npz file."""
    x: str = "x"
    """The name of the array of rows."""
    y: str = "y"
    """The name of the array of targets."""


class FunctionData(_Source, Target):
    """A function that returns (x, y), to be split, or a mapping of train, validation and optionally
    test to such pairs, or to streams of batches of them.
    """


class ImageData(_Files):
    """A folder of images with a sub-folder for each class. The keys have the names of Keras'
    image_dataset_from_directory.
    """

    kind: Literal["images"] = "images"
    """A folder of images."""
    image_size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    """[height, width] in pixels to which each image is resized."""
    color_mode: Literal["rgb", "grayscale", "rgba"] = "rgb"
    """Which channels are read."""
    interpolation: Literal[
        "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian"
    ] = "bilinear"
    """How an image is resized."""
    crop_to_aspect_ratio: bool = False
    """Crop images that do not fit the size, instead of distorting them."""
    pad_to_aspect_ratio: bool = False
    """Pad images that do not fit the size, instead of distorting them."""

    def rules(self) -> Iterable[Rule]:
        yield from _Files.rules(self)
        yield from _Source.rules(self)


class WindowData(_Source, Dialect):
    """Windows over the rows of a series, in the order of the file; the last ones are held out. The
    keys have the names of Keras' timeseries_dataset_from_array.
    """

    kind: Literal["windows"] = "windows"
    """Windows over a series."""
    path: Existing
    """A .csv, .parquet or .npz file with its rows in order of time."""
    target: str
    """The column that is predicted."""
    features: Annotated[list[str], Field(min_length=1)] | None = None
    """The columns of a window; null: all numeric ones, including the target's own past."""
    sequence_length: Count
    """The number of rows in a window."""
    sequence_stride: Count = 1
    """The number of rows from one window to the next."""
    sampling_rate: Count = 1
    """The number of rows from one row of a window to the next."""
    horizon: NonNegativeInt = 1
    """The number of rows from the last one of a window to its target."""
    time: str | None = None
    """A column of ISO 8601 times, or numbers, that rise evenly. Not a feature unless `features`
    names it."""
    missing: Literal["error", "forward", "interpolate"] = "error"
    """What to do with empty cells, and with rows that are absent according to `time`: fill them
    with the last value, or interpolate. Windows whose target is missing are left out."""
    limit: Count | None = None
    """How many in a row are filled at most; null: all."""

    @property
    def reach(self) -> int:
        """Rows from the first of a window to its target."""
        return (self.sequence_length - 1) * self.sampling_rate + self.horizon

    def rules(self) -> Iterable[Rule]:
        if self.split.column or self.split.kind not in (None, "chronological"):
            yield (
                "split",
                "is always by time, in the order of the rows; set only validation and test",
            )
        if self.horizon == 0 and self.features and self.target in self.features:
            yield (
                "features",
                f"at horizon 0 a window would contain its own target; remove {self.target}",
            )
        if self.limit and self.missing == "error":
            yield "limit", "nothing is filled; set missing: forward or interpolate"


SOURCES = SklearnData | TableData | NpzData | ImageData | WindowData | FunctionData
Data = Annotated[SOURCES, OneOf(SOURCES)]


class _Tuner(Section):
    executions_per_trial: Count = 1
    """How many times each trial is trained; its score is the mean."""
    max_seconds: NonNegativeFloat | None = None
    """Seconds after which no further trial begins (the first always does); running trials finish
    and count. A resumed search counts the time in which its trials ran. 0: refit with what has been
    found so far."""
    max_consecutive_failed_trials: Count = 3
    """How many failures in a row end the search."""
    directory: Location | None = None
    """Where trial data goes; null: trials/ below paths.root."""
    project_name: str | None = None
    """The name of its folder there; null: <experiment>-<pipeline>."""
    limit: ClassVar[str] = "max_trials"  # the key of its number of trials


class _EvenTuner(_Tuner):
    """Its trials are all of one kind, so that their scores tell whether more are worth it."""

    stop_when_no_improvement: Count | None = None
    """How many trials in a row without an improvement end the search."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """How many folds the rows, except the test rows, are divided into, in the way of
    `data.split.kind`. Each trial trains once for each fold, and its score is the mean. See
    docs/search.md."""

    def rules(self) -> Iterable[Rule]:
        if self.folds and self.executions_per_trial > 1:
            yield (
                "executions_per_trial",
                "with folds a trial trains once for each of them; remove one of the two",
            )


class _Drawn(_Tuner):
    start_from: list[Either[Name, dict[str, Scalar]]] = []
    """The first trials, in order, instead of one with the defaults (a grid keeps its own order).
    Each is a mapping of values by hyperparameter, `{model.dropout: 0.2}`, with defaults for the
    rest; or an entry, by its id or a prefix of it, whose best trial's values are used; or `best`:
    the best entry of this pipeline, not counting this run's own. Entries store the values instead
    of such references, and the values count for the fingerprint."""


class RandomTuner(_Drawn, _EvenTuner):
    kind: Literal["random"] = "random"
    """Values drawn at random."""
    max_trials: Count = 10
    """How many trials; a larger number continues the same search."""


class GridTuner(_EvenTuner):
    kind: Literal["grid"] = "grid"
    """Every combination in order."""
    max_trials: Count | None = None
    """How many trials at most; null: the whole grid."""


class GuidedTuner(_Drawn, _EvenTuner):
    """A tuner that chooses trials by the scores of others."""

    max_trials: Count = 10
    """How many trials; a larger number continues the same search."""
    num_initial_points: Count | None = 3
    """How many trials are drawn at random before scores are used to choose the next ones. Null:
    three for each hyperparameter, as in Keras Tuner."""
    parallel: Count = 4
    """How many trials can run at once: trial n is chosen when those up to n - `parallel` have
    finished."""

    def unguided(self, dimensions: int) -> int:
        """Return how many trials are asked for before one can be chosen by the scores of others, in
        a space of so many hyperparameters.
        """
        return initial(self.num_initial_points, dimensions) + self.parallel - 1


def initial(points: int | None, dimensions: int) -> int:
    """Return what `num_initial_points` stands for."""
    return points or 3 * max(dimensions, 1)


class BayesianTuner(GuidedTuner):
    """Its `parallel` weighs quality against workers that wait: a larger number keeps more of them
    busy, and finds values that are less good. See docs/search.md.
    """

    kind: Literal["bayesian"] = "bayesian"
    """Values where a Gaussian process expects the most."""
    alpha: float = 1e-4
    """The noise that the process expects in scores."""
    beta: float = 2.6
    """How much unexplored values weigh against values known to be good."""


class TpeTuner(GuidedTuner):
    """Optuna's multivariate TPE, grouped by what conditions let in; trials that are still running
    count as bad ones.
    """

    kind: Literal["tpe"] = "tpe"
    """Values that are likely among the best trials and not among the others."""

    def rules(self) -> Iterable[Rule]:
        yield from super().rules()
        if find_spec("optuna") is None:
            yield (
                "kind",
                "Optuna is not installed; in the project's clone: pip install '.[optuna]'",
            )


class HyperbandTuner(_Drawn):
    """Its `parallel` costs nothing in quality: of each round the same trials go on, whatever it is.
    The larger, the less workers wait for each other. See docs/search.md.
    """

    kind: Literal["hyperband"] = "hyperband"
    """Many short trainings, of which the best go on."""
    max_epochs: Count = 100
    """How many epochs the longest training has."""
    factor: Annotated[int, Field(ge=2)] = 3
    """In each round, the best one in `factor` trials is continued for `factor` times as long."""
    hyperband_iterations: Count = 1
    """How often the whole schedule runs."""
    hyperband_trials: Count | None = None
    """Run only this many trials of the schedule; null: all."""
    parallel: Count = 8
    """How many trials can run at once: trial n is chosen when those up to n - `parallel` have
    finished."""
    folds: ClassVar[None] = None  # it goes on from the checkpoint of one training
    limit: ClassVar[str] = "hyperband_trials"


TUNERS = RandomTuner | GridTuner | BayesianTuner | TpeTuner | HyperbandTuner
Tuner = Annotated[TUNERS, OneOf(TUNERS)]

# What goes by these names of Keras, with or without `val_`, is better when lower, or higher; the
# direction of others is not guessed.
LOWER = """loss mae mse rmse msle mape mean_absolute_error mean_squared_error
    root_mean_squared_error mean_absolute_percentage_error mean_squared_logarithmic_error
    binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy"""
HIGHER = """accuracy acc binary_accuracy categorical_accuracy sparse_categorical_accuracy auc
    precision recall f1_score fbeta_score r2_score top_k_categorical_accuracy
    sparse_top_k_categorical_accuracy mean_io_u one_hot_mean_io_u precision_at_recall
    recall_at_precision sensitivity_at_specificity specificity_at_sensitivity
    pearson_correlation concordance_correlation"""
DIRECTIONS: dict[str, Direction] = dict.fromkeys(LOWER.split(), "min")
DIRECTIONS |= dict.fromkeys(HIGHER.split(), "max")
BETTER = {"min": "lower", "max": "higher"}


class Objective(Section):
    name: str = "val_loss"
    """A metric of the model; with the prefix val_, on the validation rows."""
    direction: Direction | None = None
    """Whether lower or higher is better; null: known by name for Keras' own losses and common
    metrics."""

    def rules(self) -> Iterable[Rule]:
        usual = DIRECTIONS.get(self.name.removeprefix("val_"))
        if not usual and not self.direction:
            yield (
                "direction",
                f"state whether {self.name} is to be minimised or maximised (min or max)",
            )
        if usual and self.direction and self.direction != usual:
            yield "direction", f"{self.name} is better when {BETTER[usual]}: {usual}"

    @property
    def sense(self) -> Direction:
        """The stated direction, or the one known for sure."""
        return self.direction or DIRECTIONS[self.name.removeprefix("val_")]


class Fit(Section):
    """Arguments of Keras' fit. Each may be a hyperparameter; null is not passed on."""

    epochs: Either[Count, Hyperparameter] | None = None
    """Epochs of each trial; null: 10, for `tabular` 64, for `series` 100, unless a HyperModel has
    its own fit."""
    batch_size: Either[Count, Hyperparameter] | None = None
    """Rows of a training step; null: Keras' default, 32; for `tabular` and `series` up to 256,
    depending on the number of rows."""
    shuffle: Either[bool, Hyperparameter] | None = None
    """Whether rows are shuffled before each epoch; null: Keras' default, yes."""
    class_weight: dict[str, Either[float, Hyperparameter]] | None = None
    """Class name → weight in the loss."""


class Validation(Section):
    """How the best hyperparameters are refitted. Null is taken from the search."""

    epochs: Count | None = None
    """Of the refit; null: as in the best trial."""
    batch_size: Count | None = None
    """Of the refit; null: as in the best trial."""
    callbacks: dict[str, Target | None] | None = None
    """Callbacks of the refit; null: those of the search."""
    weights: Literal["refit", "trial"] = "refit"
    """What becomes the model: a refit, or (trial) the best trial's own weights, from its best
    epoch."""
    repeats: Count = 1
    """How many refits, each with its own seed; several show the noise."""
    ensemble: bool | None = None
    """Whether the stored model is the mean of the refits instead of the best one; null: only for
    `tabular` and `series`, with several refits."""

    def rules(self) -> Iterable[Rule]:
        if self.ensemble and self.repeats == 1:
            yield "ensemble", "is the mean of several refits; set validation.repeats to 2 or more"
        of_refits = self.repeats > 1 or self.ensemble or self.epochs or self.batch_size
        if self.weights == "trial" and of_refits:
            yield (
                "weights",
                "the trial's own weights are kept, not refitted: remove the settings of refits, "
                "or set them to null, and set validation.repeats to 1",
            )


class Fingerprint(Section):
    """What else identifies a pipeline, besides its config, code and data."""

    files: list[Existing] = []
    """Files that its code reads, such as a base model; if one changes, nothing is reused."""

    def rules(self) -> Iterable[Rule]:
        for index, path in enumerate(self.files):
            if not Path(path).is_file():
                yield f"files[{index}]", f"{path} is not a file; list only files"


class Pipeline(Section):
    """One pipeline, with everything it inherited."""

    task: Task
    """What is predicted."""
    data: Data
    """The rows, and which of them are held out."""
    model: Model
    """What builds the model; its arguments may be hyperparameters. If it is left out, tables get
    `tabular` and windows `series`, with four refits."""
    tuner: Tuner
    """How to search, and for how long."""
    objective: Objective = Objective()
    """The metric that a search optimises; a pipeline's replaces the root's as a whole."""
    fit: Fit = Fit()
    """Arguments of Keras' fit; each may be a hyperparameter. Null is not passed on."""
    validation: Validation = Validation()
    """How the best hyperparameters are refitted; null is taken from the search."""
    callbacks: dict[str, Target | None] = {}
    """Keras callbacks of search and refit, by name; null removes one. Their arguments may use
    ${trial.id}, ${trial.folder} and ${trial.execution}."""
    fingerprint: Fingerprint = Fingerprint()
    """What else identifies it, besides config, code and data."""
    manager: str | None = None
    """The history manager, by its name in the registry; null: the task's."""
    baselines: Literal["auto", "none"] = "auto"
    """Simple scikit-learn models, on the same rows, to compare each result with; none: no
    baselines. They never influence a result."""
    artefacts: list[Annotated[str, AfterValidator(_below)]] = []
    """Patterns, such as '*.csv' or '**/*.csv', of files that callbacks leave in ${trial.folder}:
    those of the best trial and of the refits are kept in the entry, all others are purged."""

    @property
    def is_ensemble(self) -> bool:
        """Whether the model that is stored is the mean of the refits."""
        if self.validation.repeats == 1:
            return False
        if self.validation.ensemble is None:
            return self.model.target in JOINED
        return self.validation.ensemble

    @property
    def manager_name(self) -> str:
        return self.manager or self.task.kind

    def direction_of(self, metric: str) -> Direction | None:
        """Return which way a metric of the model is better; None where nothing says so."""
        if self.task.direction and metric == self.task.rank_by:
            return self.task.direction
        if metric == self.objective.name.removeprefix("val_"):
            return self.objective.sense
        return DIRECTIONS.get(metric)


SECTIONS = tuple(Pipeline.model_fields)


# --- the run


class Paths(Section):
    root: Location = "results"
    """The folder where everything is written; `.` is the current one."""


NumberOrAuto = Annotated[
    Annotated[Count, Tag(VALUE)] | Annotated[Literal["auto"], Tag(MAPPING)],
    Discriminator(lambda value: MAPPING if isinstance(value, str) else VALUE),
]


class _Workers(Section):
    trial_timeout: PositiveFloat | None = None
    """Seconds after which a trial is stopped and started again; stopped three times, it has
    failed."""
    max_memory: PositiveFloat | None = None
    """GB of its own memory at which a worker is replaced between trials; null: 1, or 1.5 times what
    it has after its first task if that is more."""


class ProcessesExecutor(_Workers):
    """Trials and refits run in worker processes of this machine, which stay for a whole run."""

    kind: Literal["processes"] = "processes"
    """In worker processes of this machine, several trials and refits at once."""
    workers: NumberOrAuto = "auto"
    """How many workers; auto: one per GPU or, without any, cores / `threads`, as long as there is 1
    GB of memory for each. Their number never changes a result."""


class DaskExecutor(_Workers):
    """Machines that share the folder of the run, its data and `paths.root`, with the same packages;
    see docs/running.md.
    """

    kind: Literal["dask"] = "dask"
    """On the workers of a Dask scheduler, one trial or refit on each thread."""
    address: Location
    """The address of the scheduler: tcp://HOST:8786, tls://HOST:8786, or the file that it writes
    for --scheduler-file."""

    def rules(self) -> Iterable[Rule]:
        if find_spec("distributed") is None:
            yield "kind", "Dask is not installed; in the project's clone: pip install '.[dask]'"
        if "://" not in self.address and not Path(self.address).is_file():
            yield (
                "address",
                f"{self.address} is neither an address such as tcp://HOST:8786 nor a file",
            )


class InlineExecutor(Section):
    """Trials and refits run in this process, one after the other."""

    kind: Literal["inline"] = "inline"
    """In this process, one after the other, for debuggers."""


EXECUTORS = ProcessesExecutor | DaskExecutor | InlineExecutor
Executor = Annotated[EXECUTORS, OneOf(EXECUTORS)]


class Run(Section):
    """Settings of a whole run: the root keys that are not sections which pipelines inherit."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of everything random, except the split of the data."""
    deterministic: bool = False
    """Use deterministic kernels on a GPU, which are slower."""
    threads: Count = 1
    """Intra-op threads of one training. They are part of the result, so they do not depend on the
    machine. The default is 1, as two threads share the same processor time and save none, while
    Python's part of a training stays on one core: a trial for each core does most. More are worth
    it for large models of which fewer than one per core can run at once; see
    `python -m benchmarks.threads`."""
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    """The backend of Keras; jax and torch are extras of the project."""
    mode: Literal["run", "check"] = "run"
    """check: check everything that can be checked without training, and estimate what a run would
    cost."""
    only: Annotated[list[str], Field(min_length=1)] | None = None
    """Run only these pipelines, in this order; null: all."""
    fresh: bool = False
    """Start the searches anew, leaving earlier ones where they are."""
    reuse: bool = False
    """Take pipelines that have not changed from the history."""
    reproduce: str | None = None
    """An entry to run again, from the history alone, and compare."""
    reproduce_search: bool = False
    """Repeat its whole search, too."""
    predict: str | None = None
    """An entry whose model is applied to `input`."""
    input: Location | None = None
    """A file of rows: .csv, .parquet or .npz."""
    output: Location | None = None
    """The file for the predictions: .csv, .parquet or .npz."""
    trust: bool = False
    """Import the code that a stored config or model names."""
    name: Name | None = None
    """What you call its entries. It decides nothing, as `tags` and `note`: see `history tag`."""
    tags: list[Name] = []
    """Words to find its entries by: `history list --tag WORD`."""
    note: Name | None = None
    """What is to be remembered of its entries."""
    on_failure: Literal["continue", "stop"] = "continue"
    """What to do with the remaining pipelines when one fails."""
    progress: Literal["live", "lines", "none"] = "live"
    """On stderr. Live: a line per trial and, at a terminal, below them what is going on: pipelines,
    workers and their epochs, the best so far, the time left. Lines: without that; a sign of life
    after 30 s without a line, as where stderr is no terminal, or TERM is dumb. None: failures."""
    paths: Paths = Paths()
    """Where things are written."""
    executor: Executor = ProcessesExecutor()
    """Where trials and refits run."""
    hooks: dict[str, Target | None] = {}
    """Functions that run after all pipelines, by name, purge last; null removes one."""

    @classmethod
    def config_keys(cls) -> list[str]:
        return [*File.model_fields]

    def rules(self) -> Iterable[Rule]:
        if find_spec(self.backend) is None:
            yield (
                "backend",
                f"{self.backend} is not installed; in the project's clone: "
                f"pip install '.[{self.backend}]'",
            )
        if self.reproduce and self.predict:
            yield "predict", "cannot be combined with reproduce; run one after the other"
        if self.mode == "check" and (self.reproduce or self.predict):
            yield (
                "mode",
                "mode=check is for experiments; reproduce and predict check what they need "
                "themselves",
            )
        if self.fresh and self.reuse:
            yield "reuse", "contradicts fresh=true, which starts the searches anew; choose one"
        if self.reproduce_search and not self.reproduce:
            yield "reproduce_search", "needs reproduce=ENTRY"
        if self.input and not self.predict:
            yield "input", "needs predict=ENTRY"
        if self.output and not self.predict:
            yield "output", "needs predict=ENTRY"
        if self.predict and not self.input:
            yield "predict", "also needs input=FILE"
        if self.predict and not self.output:
            yield "predict", "also needs output=FILE"


class File(Run, Pipeline):
    """An experiment file, or part of one: keys of the run, sections for all pipelines (`tuner`),
    and those of a single pipeline (`pipelines.NAME.tuner`).
    """

    pipelines: dict[str, Pipeline | None] = {}
    """The pipelines by name, each with what differs from the sections for all."""
    defaults: list[str | dict[str, Any]] = []
    """One choice for each group: `/tuner: random`, `/model@pipelines.NAME.model: mlp`."""
    debug: dict[str, dict[str, Any]] = {}
    """Sections that override those of every pipeline."""
    experiment: str | None = None
    """The name of an experiment file, on the command line."""
    hydra: dict[str, Any] = {}
    """Settings of Hydra itself."""


@dataclass(frozen=True)
class Experiment:
    """A checked config: the run's settings and its pipelines, in order, each with all that it
    inherited.
    """

    name: str
    run: Run
    pipelines: dict[str, Pipeline]
    overrides: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The folder where everything is written, as an absolute path."""
        return Path(self.run.paths.root).resolve()
