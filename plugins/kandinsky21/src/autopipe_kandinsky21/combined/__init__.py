"""Prior and decoder as one pipeline, for each task."""
