"""Pipelines without a prompt."""
