"""A small web shop on loopback, for the demo, tests and benchmarks of crawls."""
