"""How the demo editor is made (not in the wheel).

Its world is that of the demo upscaler, which is opened here as the package `upscale_demo`.
"""

import importlib.util
import sys
from pathlib import Path

WORLD = "upscale_demo"

if WORLD not in sys.modules:
    _folder = Path(__file__).parents[2] / "upscale" / "demo"
    _spec = importlib.util.spec_from_file_location(
        WORLD, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[WORLD] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[WORLD])
