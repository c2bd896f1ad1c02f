"""The AltDiffusion family."""
