"""Checks what the first picture of a process imports, which is most of the time it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ALLOWED = frozenset(
    {
        "annotated_types",  # pydantic
        "importlib_metadata",
        "lazy_importer",  # importlib_metadata
        "numpy",
        "packaging",
        "PIL",
        "pluggy",
        "pydantic",
        "pydantic_core",
        "safetensors",
        "tokenizers",
        "torch",
        "tqdm",
        "typing_extensions",
        "typing_inspection",
        "zipp",
    }
)
"""The packages of others that a first picture may import."""

HEAVY = (
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.checkpoint",
    "torch.distributed.tensor",
    "torch.fx.experimental.symbolic_shapes",
    "torch.onnx",
    "torch.utils.tensorboard",
)
"""Parts of them that it may not, unless torch imports them by itself."""

_PROBE = """
import json, sys, torch
before = {*sys.modules}
%s
new = {*sys.modules} - before
open(%r, "w").write(json.dumps(sorted(new)))
"""


def imported_by(code: str, folder: Path) -> list[str]:
    """Return the modules that `code` imports after torch, in a new interpreter."""
    file = folder / "imported.json"
    probe = _PROBE % (code, str(file))
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(file.read_text())
    return found


def too_much(modules: Iterable[str]) -> list[str]:
    """Return what a first picture may not import of `modules`."""
    packages = {name.partition(".")[0] for name in modules}
    own = {one for one in packages if one == "autopipe" or one.startswith("autopipe_")}
    builtin = {one for one in packages if one.startswith(("_", "google"))}
    others = packages - own - builtin - ALLOWED - {*sys.stdlib_module_names}
    parts = [name for name in HEAVY if name in {*modules}]
    return sorted(others) + parts


def check_light(
    checkpoint: Path | str, call: Mapping[str, Any], folder: Path, needed: Iterable[str] = ()
) -> None:
    """Check what loading `checkpoint` and calling the pipeline imports.

    Args:
        folder: an empty folder.
        needed: further packages that this picture needs.
    """
    code = (
        "import autopipe\n"
        f"pipe = autopipe.DiffusionPipeline.from_pretrained({str(checkpoint)!r})\n"
        f"pipe(**{dict(call)!r})"
    )
    found = {*too_much(imported_by(code, folder))} - {*needed}
    assert not found, f"the first picture imports {found}"
