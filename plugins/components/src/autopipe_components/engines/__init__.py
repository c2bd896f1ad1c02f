"""Engines, which run networks in place of torch's eager mode."""
