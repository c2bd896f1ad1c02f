"""Looking at a checkpoint, unlike loading it, imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import sys
from autopipe.checkpoint import address, files, index, names, source
from autopipe.checkpoint.formats import headers
from autopipe.checkpoint.hub import repository
heavy = {"torch", "numpy", "transformers", "diffusers", "pydantic", "huggingface_hub"}
print(sorted(heavy & set(sys.modules)))
"""


def test_planning_needs_no_tensor_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
