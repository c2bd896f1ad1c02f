"""Latent diffusion from before Stable Diffusion."""
