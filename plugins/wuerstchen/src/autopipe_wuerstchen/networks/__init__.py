"""The networks of Würstchen."""
