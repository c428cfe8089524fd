"""The story of a run; read in this order:

experiment   a run: plans, pipelines, hooks, the table at its end
opened       what is open until it has ended well, by one process at a time
starting     the values that searches start from
plan         a pipeline before it starts: its data, identity and folder, and what cannot work
pipeline     a pipeline: search, refits, entry
identity     fingerprints, hashes and keys: what makes two of a kind the same
rehearsal    mode=check: an estimate of what a run would take
stored       an experiment from an entry
reproduce    an entry run again
comparison   what it came to, against what is stored
sweep        the outcome of several runs
predict      an entry's model applied to new rows
"""
