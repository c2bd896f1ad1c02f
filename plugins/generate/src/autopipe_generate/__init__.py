"""The command `autopipe generate`: images, clips and sounds, for every installed task."""
