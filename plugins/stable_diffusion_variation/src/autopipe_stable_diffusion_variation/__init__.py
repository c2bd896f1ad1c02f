"""Variations of an image with Stable Diffusion."""
