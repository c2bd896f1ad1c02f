"""How the demo T2I-Adapter is made: training and measurement (not in the wheel).

It learns what the demo ControlNet learned, so most of it is `plugins/controlnet/demo`, opened here
as the package `controlnet_demo`.
"""

import importlib.util
import sys
from pathlib import Path

LESSONS = "controlnet_demo"

if LESSONS not in sys.modules:
    _folder = Path(__file__).parents[2] / "controlnet" / "demo"
    _spec = importlib.util.spec_from_file_location(
        LESSONS, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[LESSONS] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[LESSONS])
