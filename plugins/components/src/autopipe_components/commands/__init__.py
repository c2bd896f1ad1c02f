"""Commands that concern any family."""
