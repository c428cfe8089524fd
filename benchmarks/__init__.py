"""What things cost: `python -m benchmarks` measures it, for the table of docs/costs.md."""
