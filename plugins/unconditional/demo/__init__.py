"""How the demo checkpoint is made: training and export (not in the wheel).

Its shapes are those of `plugins/stable_diffusion/demo`, opened here as the package
`stable_diffusion_demo`.
"""

import importlib.util
import sys
from pathlib import Path

SHAPES = "stable_diffusion_demo"

if SHAPES not in sys.modules:
    _folder = Path(__file__).parents[2] / "stable_diffusion" / "demo"
    _spec = importlib.util.spec_from_file_location(
        SHAPES, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[SHAPES] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[SHAPES])
