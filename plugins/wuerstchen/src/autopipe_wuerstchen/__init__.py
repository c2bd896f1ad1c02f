"""Würstchen: text to image in two compressed stages."""
