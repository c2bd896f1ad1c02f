"""The pipelines of Stable Diffusion XL with a ControlNet."""
