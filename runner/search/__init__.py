"""The search: the only room that knows Keras Tuner.

The parent owns Keras Tuner's oracle and all state on disk (loop.py, oracles.py, state.py); a trial
is executed through the interface of concurrent.futures.Executor (executors.py, trial.py) from plain
settings to a plain result.
"""
