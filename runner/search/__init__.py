"""The search: asks, trials and tells, until the budget is spent.

The loop owns Keras Tuner's oracle and all state on disk (loop.py, oracles.py, state.py); a trial
(trial.py) goes from plain settings to a plain result. What is private to Keras Tuner is named in
oracles.py alone.
"""
