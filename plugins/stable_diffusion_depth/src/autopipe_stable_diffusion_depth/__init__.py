"""The depth model of Stable Diffusion 2."""
