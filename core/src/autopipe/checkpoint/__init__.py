"""Reads and writes checkpoints.

To load, call `Checkpoint.open(...).plan(cls)` and `.load(plan)` (in `checkpoint`). The steps are a
module each, and none of them trusts the checkpoint: `address` (what the caller names), `source`
(the files), `index` (the components), `plan` (their classes and, with `files`, their files),
`headers` (whether files are complete), `build` (a network on the meta device) and `weights`
(tensors of files into the network). `single` is for checkpoints in one file. `save` writes.
"""
