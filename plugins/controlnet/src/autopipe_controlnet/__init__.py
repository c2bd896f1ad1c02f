"""ControlNet: an image as a condition, added to families that know nothing about it."""
