"""Tools for plugin authors: a project template, conformance checks, and stubs."""
