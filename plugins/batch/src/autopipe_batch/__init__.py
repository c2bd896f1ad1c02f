"""The command `autopipe batch`: thousands of results, each exactly once."""
