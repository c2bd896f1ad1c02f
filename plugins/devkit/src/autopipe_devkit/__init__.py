"""For authors of plugins: a project to start from, and the checks that a plugin must pass."""
