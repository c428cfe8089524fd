"""What things cost: `python -m benchmarks` measures it all and prints README's table."""
