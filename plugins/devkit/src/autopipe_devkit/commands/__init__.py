"""The subcommands of `autopipe` that this package brings."""
