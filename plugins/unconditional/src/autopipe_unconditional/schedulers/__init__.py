"""The schedulers that only these pipelines use."""
