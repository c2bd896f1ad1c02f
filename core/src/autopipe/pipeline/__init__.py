"""Pipelines: the base class, the weights they share, one call, and the denoising loop."""
