"""How many functions and files resolving, loading and calling go through.

Counted are the distinct functions defined by `def` in the core and in the plugins of this
repository that run in any thread while a step runs: methods, properties and nested functions
included; lambdas, comprehensions, class bodies and module bodies not, nor methods that a decorator
such as `@dataclass` writes. The core's are what goes through loading and calling itself; those of
plugins are mostly constructors and layers of networks. A first run of every step, which imports
and fills caches, is not counted.

    python benchmarks/functions.py [--list resolve|from_pretrained|call]
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = "demo:stable_diffusion"


def touched(step: Callable[[], object]) -> set[CodeType]:
    """The functions of this repository that `step` runs, in this thread and in new ones."""
    found: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {code for code in found if _is_counted(code)}


def _is_counted(code: CodeType) -> bool:
    ours = "/src/autopipe" in code.co_filename and code.co_filename.startswith(str(ROOT))
    is_function = bool(code.co_flags & 1) and not code.co_name.startswith("<")
    return ours and is_function


def steps() -> dict[str, Callable[[], object]]:
    """What is counted, by name."""
    from autopipe import AutoPipelineForText2Image, registry

    pipe: Any = AutoPipelineForText2Image.from_pretrained(CHECKPOINT)
    pipe.set_progress_bar_config(disable=True)
    return {
        "resolve": lambda: registry.resolve("StableDiffusionPipeline", "image2image"),
        "from_pretrained": lambda: AutoPipelineForText2Image.from_pretrained(CHECKPOINT),
        "call": lambda: pipe("a red circle", num_inference_steps=2, height=64, width=64),
    }


def _sizes(found: set[CodeType]) -> str:
    files = {code.co_filename for code in found}
    return f"{len(found):3} functions in {len(files):2} files"


def main() -> None:
    """Print the numbers, and on demand the functions of one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", choices=("resolve", "from_pretrained", "call"))
    listed = parser.parse_args().list
    for name, step in steps().items():
        step()
        found = touched(step)
        core = {code for code in found if "/core/src/" in code.co_filename}
        print(f"{name:16} core {_sizes(core)}, plugins {_sizes(found - core)}")
        if name == listed:
            for code in sorted(found, key=lambda code: (code.co_filename, code.co_firstlineno)):
                file = Path(code.co_filename).relative_to(ROOT)
                print(f"    {file}:{code.co_firstlineno} {code.co_name}")


if __name__ == "__main__":
    main()
