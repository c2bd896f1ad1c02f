"""Shapes too, by somebody else."""
