"""What a model is told of its training rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.data.dataset import Part


@dataclass(frozen=True)
class Facts:
    """What a model is told of its training rows.

    Args:
        input_shape: of one row: a tuple, or several by name.
        num_classes: None for a regression.
        feature_mean, feature_variance: over the last axis of the numbers, missing ones left out.
        target_mean, target_deviation: of a regression's target; 0 and 1 for classes.
        columns: the names of a table's features.
        categories: the words of each column of categories.
        texts: the frequent words of each column of texts.
        may_miss: whether numbers may be missing.
        past: the index of the target among the features of a window, if its own past is one of
            them and it is a number.
        train: the rows.
    """

    input_shape: Any
    num_classes: int | None
    feature_mean: list[float]
    feature_variance: list[float]
    target_mean: float = 0.0
    target_deviation: float = 1.0
    columns: tuple[str, ...] | None = None
    categories: Mapping[str, list[str]] = field(default_factory=dict)
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    may_miss: bool = False
    past: int | None = None
    train: "Part" = field(kw_only=True, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.train)

    @property
    def task(self) -> str:
        """Classification or regression."""
        return "classification" if self.num_classes else "regression"
