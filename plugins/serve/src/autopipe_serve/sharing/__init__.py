"""Forward passes that the calls of several threads share."""
