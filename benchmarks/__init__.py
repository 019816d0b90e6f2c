"""Benchmarks: one module a headline claim, ``python -m benchmarks NAME``."""
