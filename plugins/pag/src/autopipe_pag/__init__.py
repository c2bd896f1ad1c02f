"""Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377).

perturbed   `PerturbedAttention`: the add-on
layers      the self-attention layers that it degrades
pipelines   the pipeline classes that `enable_pag=True` selects
inputs      the arguments that it adds to calls
"""
