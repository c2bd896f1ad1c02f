"""The subcommands of `autopipe` that this package provides."""
