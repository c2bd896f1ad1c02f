"""Pictures as requests: data that says what is drawn, with a stable id, in the picture itself."""
