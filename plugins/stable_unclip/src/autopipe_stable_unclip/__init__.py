"""Stable unCLIP: Stable Diffusion that also sees the embedding of an image."""
