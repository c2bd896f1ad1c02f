"""For whoever writes a plugin: a project to begin with, and the checks that it has to pass."""
