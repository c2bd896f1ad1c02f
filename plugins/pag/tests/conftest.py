"""Small pipelines of each class, whose prompts are given as embeddings."""

from support.small_pipelines import build, draw, networks  # noqa: F401
