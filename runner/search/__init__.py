"""The search: asks, trials and tells, until the budget is spent.

A loop (loop.py) does what the schedule says (schedule.py), and keeps what the trials have left.
Which values come next, an oracle proposes (oracles.py), in a space that was explored before
(spaces.py): in order (grid.py), at random, by Hyperband, or by the scores of other trials
(bayesian.py, tpe.py), as points of a cube (cube.py).
What is private to Keras Tuner is named in oracles.py, cube.py and training/trial.py alone.
"""
