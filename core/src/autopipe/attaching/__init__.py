"""Base classes of add-ons and engines, and the network views through which they act."""
