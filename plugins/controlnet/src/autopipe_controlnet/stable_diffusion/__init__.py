"""The pipelines of Stable Diffusion with a ControlNet."""
