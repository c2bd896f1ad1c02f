"""The modules of diffusers, made from a table when they are imported.

`autopipe_compat.paths.schedulers.scheduling_ddim`, which is `autopipe.schedulers.scheduling_ddim`,
has no file. Each module is a package, so that `from ... import name` asks the finder for a name
that the module lacks, and the finder's error reaches the program.
"""

from __future__ import annotations

import sys

from .finder import PathFinder

if not any(type(one).__name__ == PathFinder.__name__ for one in sys.meta_path):
    sys.meta_path.append(PathFinder(__name__))
