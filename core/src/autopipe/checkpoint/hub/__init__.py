"""Repositories of the Hub: reading them through the cache of huggingface_hub, and uploading."""
