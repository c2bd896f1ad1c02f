"""Draws pairs of pictures of the same thing, to learn image prompts from.

    python draw_pairs.py lessons/pairs --count 4000

In each pair, one picture shows a shape of the demo in the middle, on white. The other one shows a
shape of the same form and colour at another place, on another background; its caption tells only
these. The program needs a clone of the project, whose `plugins/stable_diffusion/demo` draws shapes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "plugins" / "stable_diffusion"))

shapes: Any = importlib.import_module("demo.shapes")

PLACES = {
    "centre": "",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}


def shown_alone(scene: Any, source: random.Random) -> Image.Image:
    """Draw the shape of a scene in the middle, on white, or on black if it is white."""
    size = source.choice(("medium", "large"))
    background = "black" if scene.colour == "white" else "white"
    alone = shapes.place(source, scene.shape, scene.colour, background, "centre", size)
    picture: Image.Image = shapes.draw(alone)
    return picture


def caption_of_place(scene: Any, source: random.Random) -> str:
    """Return where the shape is and on which background; now and then only a part of it."""
    background = f"on a {scene.background} background" if source.random() < 0.7 else ""
    return " ".join(filter(None, (PLACES[scene.position], background)))


def main(arguments: list[str] | None = None) -> int:
    """Draw the pairs."""
    parser = argparse.ArgumentParser(description="Draw pairs of pictures to learn from.")
    parser.add_argument("folder", type=Path, help="where they go, with metadata.jsonl")
    parser.add_argument("--count", type=int, default=4000, help="how many pairs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    source = random.Random(options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(options.count):
        scene = shapes.random_scene(source)
        if source.random() < 0.3:
            scene = replace(scene, background="white" if scene.colour != "white" else "black")
        name, prompt = f"{number:05}.png", f"{number:05}-prompt.png"
        shapes.draw(scene).save(options.folder / name)
        shown_alone(scene, source).save(options.folder / prompt)
        entry = {"file_name": name, "text": caption_of_place(scene, source), "prompt": prompt}
        lines.append(json.dumps(entry))
    text = "\n".join(lines) + "\n"
    (options.folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
