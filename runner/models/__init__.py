"""The models that need no Python, a file for each kind of rows, for both tasks.

They take raw rows: features are normalised inside, by the statistics of the training part, and a
regression target is scaled back inside, so that a saved model predicts in the target's own units.
No file here has the name of a model: `runner.models.mlp` is the function.
"""

from runner.models.building import METRICS as METRICS
from runner.models.dense import linear as linear
from runner.models.dense import mlp as mlp
from runner.models.encoding import inputs as inputs
from runner.models.images import cnn as cnn
from runner.models.tables import tabular as tabular
from runner.models.training import trained as trained
from runner.models.windows import lstm as lstm
from runner.models.windows import series as series
