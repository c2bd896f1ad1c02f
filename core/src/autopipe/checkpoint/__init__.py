"""Checkpoints on disk: what to read, reading it, and writing it.

Loading goes through these steps, a module each, and no step trusts what a checkpoint says:
`source` (a folder, a demo or a repository: which files there are), `index` (which components),
`files` (which of the files are needed), `headers` (are they whole), `build` (a model without
memory) and `weights` (tensors from the file into the model). `load` and `save` are the front.
"""
