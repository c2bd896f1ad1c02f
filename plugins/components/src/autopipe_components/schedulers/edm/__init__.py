"""Schedulers of EDM's preconditioning: the network sees and returns samples of unit variance.

Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"
(arXiv:2206.00364), section 5 and table 1.
"""
