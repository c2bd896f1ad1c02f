"""The toys, for every test that asks for them."""

from support.toys import toys  # noqa: F401
