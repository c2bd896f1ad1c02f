"""Checkpoints on disk: what to read, reading it, and writing it.

`Checkpoint.open(...).plan(cls)` and `.load(plan)` (in `checkpoint`) are the way in. It goes through
these steps, a module each, and no step trusts what a checkpoint says: `address` (what the caller
names), `source` (which files there are, and what was read of them), `index` (which components),
`plan` (their classes and, from `files`, which of the files), `headers` (are they whole), `build` (a
model without memory) and `weights` (tensors from the file into the model). `save` is the way out.
"""
