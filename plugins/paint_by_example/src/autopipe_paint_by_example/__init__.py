"""Paint by Example: inpainting with a picture in place of a prompt."""
