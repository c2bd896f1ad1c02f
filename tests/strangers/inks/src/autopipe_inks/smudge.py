"""`autopipe smudge`, which is broken: it is here to show that it harms no other."""

raise RuntimeError("the ink has run out")
