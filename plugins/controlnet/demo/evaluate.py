"""Measure the demo ControlNet: is what is drawn inside the outline, and in the colour named?

    python -m demo.evaluate

The outlines are of scenes that training has not seen, a fifth of them of withheld pairs of colour
and shape. Pictures are judged by plain image analysis; every seed is fixed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from stable_diffusion_demo.judge import Finding, Mask, intersection_over_union, judge
from stable_diffusion_demo.shapes import Scene, draw, draw_outline, random_scene

from autopipe import AutoPipelineForText2Image
from autopipe_controlnet.controlnet import ControlNetModel

from .card import model_card
from .train import MODEL, plain_caption

DEMO = Path(__file__).parents[1] / "src" / "autopipe_controlnet" / "demo"
WITHHELD_SHARE = 0.2


@dataclass(frozen=True)
class Judged:
    """A scene whose outline was given, the picture that was drawn, and what it shows."""

    scene: Scene
    picture: Image.Image
    finding: Finding

    @property
    def overlap(self) -> float:
        """Intersection over union of the outlined region and what was drawn."""
        mask = self.finding.mask
        return 0.0 if mask is None else intersection_over_union(mask, region(self.scene))

    @property
    def coloured(self) -> bool:
        """Whether the colour is the one named."""
        return self.finding.colour == self.scene.colour


def region(scene: Scene) -> Mask:
    """The pixels inside the outline, edge included by half."""
    black, white = (0, 0, 0), (255, 255, 255)
    colours = {scene.background: black, scene.colour: white}
    return np.asarray(draw(scene, colours=colours).convert("L")) > 127


def outlined_scenes(count: int, seed: int = 11) -> list[Scene]:
    """Scenes that training has not seen."""
    rng = Random(f"outlines {seed}")
    return [random_scene(rng, withheld=i < round(count * WITHHELD_SHARE)) for i in range(count)]


def draw_all(
    pipe: Any, scenes: list[Scene], batch: int, keyword: str = "control_image", **settings: Any
) -> list[Judged]:
    """Draw and judge a picture of each scene, from its outline and the plainest caption."""
    rng = Random("captions")
    judged: list[Judged] = []
    for start in range(0, len(scenes), batch):
        part = scenes[start : start + batch]
        outlines = {keyword: [draw_outline(scene) for scene in part]}
        pictures = pipe(
            [plain_caption(scene, background=rng.random() < 0.5) for scene in part],
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(part))],
            **outlines,
            **settings,
        ).images
        judged += [Judged(s, p, judge(p)) for s, p in zip(part, pictures)]
        print(f"  {len(judged)} of {len(scenes)}", end="\r", flush=True)
    return judged


def figures(judged: list[Judged]) -> dict[str, float]:
    """Means over all pictures; shares in percent."""
    overlaps = [one.overlap for one in judged]
    return {
        "outlines": len(judged),
        "mean_overlap": round(float(np.mean(overlaps)), 4),
        "overlap_of_the_worst_tenth": round(float(np.quantile(overlaps, 0.1)), 4),
        "colour_right": round(100 * sum(one.coloured for one in judged) / len(judged), 1),
    }


def contact_sheet(judged: list[Judged], columns: int = 20) -> Image.Image:
    """Outlines, and under each what was drawn."""
    rows = -(-len(judged) // columns)
    sheet = Image.new("RGB", (columns * 66, rows * 134), "white")
    for i, one in enumerate(judged):
        x, y = i % columns * 66, i // columns * 134
        sheet.paste(draw_outline(one.scene), (x, y))
        sheet.paste(one.picture, (x, y + 65))
    return sheet


def main() -> None:
    """Read the command line, measure, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--controlnet", default=str(DEMO), help="the ControlNet's folder")
    parser.add_argument("--model", default=MODEL, help="the checkpoint it steers")
    parser.add_argument("--outlines", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the ControlNet")
    parser.add_argument("--batch", type=int, default=50, help="pictures per call")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--card", action="store_true", help="write the figures to the model card")
    parser.add_argument("--sheet", type=Path, help="file for a contact sheet of the pictures")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    controlnet = ControlNetModel.from_pretrained(options.controlnet, torch_dtype=torch.float32)
    pipe = AutoPipelineForText2Image.from_pretrained(
        options.model, controlnet=controlnet, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    judged = draw_all(
        pipe,
        outlined_scenes(options.outlines),
        options.batch,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        controlnet_conditioning_scale=options.scale,
    )
    print(json.dumps(figures(judged), indent=2))
    if options.card:
        settings = {name: getattr(options, name) for name in ("steps", "guidance")}
        command = "python -m demo.evaluate --card " + " ".join(
            f"--{name} {getattr(options, name)}" for name in ("outlines", "steps", "guidance")
        )
        card = model_card(figures(judged), settings, command)
        Path(options.controlnet, "README.md").write_text(card, "utf-8")
    if options.sheet:
        contact_sheet(judged).save(options.sheet)


if __name__ == "__main__":
    main()
