"""A config-driven experiment runner for hyperparameter search over Keras models."""

__version__ = "0.3.0"
