"""Benchmarks: never tests, always beside a floor or a peer of the same run. `make bench`."""
