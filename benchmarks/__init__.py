"""Benchmarks of skwfm: not part of the package, run from the root of the checkout."""
