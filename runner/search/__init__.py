"""The search: the only room that knows Keras Tuner.

The loop owns Keras Tuner's oracle and all state on disk (loop.py, oracles.py, state.py); a trial
(trial.py) goes from plain settings to a plain result.
"""
