"""Training: a dataset and values of hyperparameters become a trial or a refit.

build.py makes models and trains them; regimes.py says how many trainings trials and refits have,
and on which rows. A trial (trial.py) goes from plain settings to a plain result, wherever it runs;
the best one is refitted (refit.py), and its refits become one result (validated.py). preflight.py
tries the default model before the search, and baselines.py what a model must beat.
"""
