"""Engines, which run networks in place of the eager mode of torch."""
