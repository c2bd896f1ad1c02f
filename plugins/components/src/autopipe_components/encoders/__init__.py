"""Text and image encoders that transformers defines, without what importing transformers costs."""
