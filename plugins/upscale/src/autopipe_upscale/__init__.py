"""Pipelines that enlarge pictures by diffusion."""
