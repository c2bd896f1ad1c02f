"""Hub repositories: reading them through the cache of huggingface_hub, and uploading."""
