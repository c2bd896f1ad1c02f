"""What the tests of several dists share; on the path by `pythonpath` of the root's pyproject."""
