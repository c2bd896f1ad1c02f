"""How the demo checkpoint is made: drawn pictures, training, measurement, export."""
