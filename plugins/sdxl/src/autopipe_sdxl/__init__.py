"""The Stable Diffusion XL family."""
