"""The command `autopipe serve`: draws the requests of many clients, by the APIs that they know."""
