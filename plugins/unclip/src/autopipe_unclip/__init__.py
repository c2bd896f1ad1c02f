"""unCLIP, whose published checkpoints are called Karlo."""
