"""What the package costs, measured. ``python -m benchmarks`` writes ``docs/benchmarks.md``."""
