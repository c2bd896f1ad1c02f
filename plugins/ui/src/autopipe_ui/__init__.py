"""The command `autopipe ui`: a page to draw in."""
