"""ControlNet: a picture as a condition, added from outside to families that don't know of it."""
