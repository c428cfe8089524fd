"""All combinations of a space, in the order of Keras Tuner's grid: from one to the next, without a
list of all values, of which there may be billions.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runner.training.ledger import Values

if TYPE_CHECKING:
    from keras_tuner import HyperParameters
    from keras_tuner.engine.hyperparameters import HyperParameter


def combinations(space: "HyperParameters") -> Iterator[Values]:
    """Yield the combinations, the defaults first; the space's own values are replaced."""
    space.values = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
    yield dict(space.values)
    while _go_on(space):
        yield dict(space.values)


def _go_on(space: "HyperParameters") -> bool:
    """Go on to the next combination; return whether there is one."""
    for hp in reversed(space.space):  # a condition's value after those below it
        if space.is_active(hp):
            values = _in_order(hp)
            if space.values[hp.name] in values:  # which is then at the value after it
                following = next(values, None)
                if following is not None:
                    space.values[hp.name] = following
                    space.ensure_active_values()
                    return True
        space.values[hp.name] = hp.default
    return False


def _in_order(hp: "HyperParameter") -> Iterator[object]:
    """Yield the values of a hyperparameter as a grid takes them: the default first."""
    yield hp.default
    yield from (value for value in hp.values if value != hp.default)
