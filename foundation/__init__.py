"""The ground floor: files, locks, errors, printable text and secrets.

It imports nothing of either package.
"""
