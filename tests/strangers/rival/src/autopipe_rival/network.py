"""A function that goes by the name of another's network."""

from __future__ import annotations


def ShapesNetwork() -> str:
    """What this stands for: nothing that draws."""
    return "the rival's"
