"""Pipelines: the base class, the pool of shared weights, calls, and the denoising loop."""
