"""Flux.1 for autopipe."""
