"""Pipelines that edit a picture by an instruction."""
