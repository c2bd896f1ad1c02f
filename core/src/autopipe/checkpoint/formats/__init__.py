"""File formats of weights: recognising them, and reading them without running code."""
