"""Benchmarks of the compiled engine against its peers: ``python -m bench``."""
