"""Comparing benchmarks of two builds: what was measured, what it proves, and how it is shown."""
