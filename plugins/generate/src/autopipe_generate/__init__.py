"""The command `autopipe generate`: pictures, clips and sounds of whatever task is installed."""
