"""What a run shows: tables on the terminal, plots as files."""
