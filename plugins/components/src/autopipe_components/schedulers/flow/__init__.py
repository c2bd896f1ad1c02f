"""Schedulers of flows: x = (1 - sigma) x0 + sigma noise, and the network predicts noise - x0.

Lipman et al. 2023, "Flow Matching for Generative Modeling" (arXiv:2210.02747); Liu et al. 2023,
"Flow Straight and Fast" (arXiv:2209.03003).
"""
