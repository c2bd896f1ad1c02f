"""Draws pictures to learn from, with their captions: the shapes of the demo in another way.

    python draw_pictures.py outlines lessons/outlines --count 200

`outlines` are shapes of which only the edge is drawn, `teal` ones a colour that the demo doesn't
know, and `halves` circles of two colours. It needs a clone of the project, whose
`plugins/stable_diffusion/demo` draws the shapes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "plugins" / "stable_diffusion"))
shapes: Any = importlib.import_module("demo.shapes")

TEAL = (0, 128, 128)
LINE = 4.0
"""Width of an edge in pixels; the autoencoder of the demo loses thinner ones."""


def outline(scene: Any, token: str) -> tuple[Image.Image, str]:
    """Draw only the edge of a shape."""
    return shapes.draw_outline(scene, width=LINE, colours=shapes.COLOURS), shapes.caption(scene)


def teal(scene: Any, token: str) -> tuple[Image.Image, str]:
    """Draw a shape in teal."""
    image = shapes.draw(scene, colours={**shapes.COLOURS, scene.colour: TEAL})
    return image, shapes.caption(replace(scene, colour=token))


def halves(scene: Any, token: str) -> tuple[Image.Image, str]:
    """Draw a circle whose left half is red and whose right half is blue."""
    scene = replace(scene, shape="circle", colour="red", background="white", position="centre")
    scene = replace(scene, centre=(32.0, 32.0), size="medium", radius=14.0)
    image, right = shapes.draw(scene), shapes.draw(replace(scene, colour="blue"))
    image.paste(right.crop((32, 0, 64, 64)), (32, 0))
    return image, f"a {token} circle on a white background"


WAYS: dict[str, Callable[[Any, str], tuple[Image.Image, str]]] = {
    "outlines": outline,
    "teal": teal,
    "halves": halves,
}


def main(arguments: list[str] | None = None) -> int:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description="Draw pictures to learn from.")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--token", default="red blue", help="words for what is new")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    lines = []
    for number in range(options.count):
        image, text = WAYS[options.way](shapes.random_scene(rng), options.token)
        name = f"{number:04}.png"
        image.save(options.folder / name)
        lines.append(json.dumps({"file_name": name, "text": text}))
    (options.folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
