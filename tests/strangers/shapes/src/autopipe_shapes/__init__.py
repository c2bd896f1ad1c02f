"""Shapes from nothing, and shapes that change."""
