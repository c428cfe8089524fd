"""The story of a run; read in this order:

experiment   a run: plans, pipelines, hooks, the table at its end
opened       what is open until it has ended well, by one process at a time
plan         a pipeline before it starts: its data, identity and place, and what cannot work
pipeline     a pipeline: search, refits, entry
identity     fingerprints, hashes and keys: what makes two of a kind the same
sources      the modules of a user's code, found by what they import
rehearsal    mode=check: an estimate of what a run would take
stored       an experiment from an entry
reproduce    an entry run again, and compared
predict      an entry's model applied to new rows
"""
