"""The grammar of compel."""
