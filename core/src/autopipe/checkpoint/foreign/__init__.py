"""Components that transformers defines: networks, tokenizers and image processors."""
