"""Runs batches of autopipe on a Ray cluster."""
