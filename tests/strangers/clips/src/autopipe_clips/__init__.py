"""Short clips from a text."""
