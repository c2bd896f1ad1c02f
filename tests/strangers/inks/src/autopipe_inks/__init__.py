"""Add-ons for any family, and sketches for shapes."""
