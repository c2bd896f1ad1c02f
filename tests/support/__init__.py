"""Helpers that the tests of several dists share; `pythonpath` in pyproject.toml includes it."""
