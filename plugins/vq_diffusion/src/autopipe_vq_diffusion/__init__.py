"""VQ-Diffusion: text to image by diffusion of the codes of an autoencoder."""
