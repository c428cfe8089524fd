"""The story of a run; read in this order:

experiment   a run: its plans, pipelines and hooks, and the table at its end
opened       the runs and sweeps that have not ended well yet, each in one process at a time
starting     the values that searches start from
plan         a pipeline before it starts: its data, identity and folder, and early failures
pipeline     a pipeline: search, refits, entry
identity     fingerprints, hashes and keys: what makes two results or runs the same
rehearsal    mode=check: an estimate of what a run would take
stored       an experiment rebuilt from an entry
reproduce    an entry run again
comparison   its numbers and weights, compared with the stored ones
sweep        the outcome of several runs
predict      an entry's model applied to new rows
"""
