"""Entries as pages of HTML: a folder that a browser opens without network or server."""
