"""Instructions, and the pictures before and after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import upscale_demo  # noqa: F401  (opens `stable_diffusion_demo`)
from stable_diffusion_demo.shapes import COLOURS, Scene, random_scene


@dataclass(frozen=True)
class Edit:
    """A picture, an instruction, and the picture that follows it."""

    before: Scene
    instruction: str
    after: Scene


def random_edit(rng: Random) -> Edit:
    """Draw a scene, and a colour that it lacks for the shape or the background."""
    scene = random_scene(rng, withheld=None)
    taken = (scene.colour, scene.background)
    colour = rng.choice([name for name in COLOURS if name not in taken])
    if rng.random() < 0.6:
        return Edit(scene, f"make it {colour}", replace(scene, colour=colour))
    return Edit(scene, f"make the background {colour}", replace(scene, background=colour))
