"""How weights are stored: telling the format of a file, and reading it without running it."""
