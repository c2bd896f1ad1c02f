"""The manifest of this package: an add-on, and the flag `enable_pag` on the lines of families."""

from __future__ import annotations

from typing import NamedTuple

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Condition, Manifest, Pipeline
from autopipe.tasks import Task

from . import inputs

_LINES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}
_TASKS = {Task.TEXT2IMAGE: "", Task.IMAGE2IMAGE: "Img2Img", Task.INPAINT: "Inpaint"}


class WithPAG(NamedTuple):
    """A pipeline class with perturbed-attention guidance.

    Attributes:
        name: its name.
        base: the name of the class without it.
    """

    name: str
    base: str
    task: str
    line: str
    conditions: frozenset[str]


PIPELINES = tuple(
    WithPAG(
        f"{prefix}{added}PAG{infix}Pipeline",
        f"{prefix}{added}{infix}Pipeline",
        task,
        line,
        frozenset({"pag", *([added.lower()] if added else [])}),
    )
    for line, prefix in _LINES.items()
    for added in ("", "ControlNet")
    for task, infix in _TASKS.items()
)


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_pag"
    return Manifest(
        name="pag",
        pipelines=tuple(
            Pipeline(
                one.name, f"{package}.pipelines:{one.name}", one.task, one.line, one.conditions
            )
            for one in PIPELINES
        ),
        conditions=(
            Condition("pag", "enable_pag", help="perturbed-attention guidance", flag=True),
        ),
        addons=(
            AddOn(
                "pag",
                f"{package}.perturbed:PerturbedAttention",
                (inputs.PAG_SCALE, inputs.PAG_ADAPTIVE_SCALE),
                "lead away from pictures without structure",
            ),
        ),
    )
