"""The models that need no Python, a file for each kind of rows, for both tasks.

They take raw rows: features are normalised inside, by the statistics of the training part, and a
regression target is scaled back inside, so that a saved model predicts in the target's own units.
No file here has the name of a model: `runner.models.mlp` is the function.
"""

from runner.models.dense import linear, mlp
from runner.models.encoding import inputs
from runner.models.images import cnn
from runner.models.tables import tabular
from runner.models.training import trained
from runner.models.windows import lstm, series

__all__ = [
    "cnn",
    "inputs",
    "linear",
    "lstm",
    "mlp",
    "series",
    "tabular",
    "trained",
]
