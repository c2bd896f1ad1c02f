"""Engines: what runs a network in place of torch's eager mode."""
