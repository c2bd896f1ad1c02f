"""Generates pictures for every line of a file of prompts, and can resume after an interruption.

    python batch.py prompts.txt pictures --model demo:stable_diffusion --each 2 --seed 7

Line 3 with the seed 8 becomes `pictures/0003-8.png`, whatever the other lines are. Existing
pictures are not generated again. The prompt and the seed are in the text fields of each picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.PngImagePlugin import PngInfo

from autopipe import AutopipeError, AutoPipelineForText2Image
from autopipe.pipeline.tasks import Text2ImagePipeline


@dataclass(frozen=True)
class Picture:
    """A picture to generate."""

    file: Path
    prompt: str
    seed: int


def wanted(prompts: Path, folder: Path, seeds: range) -> Iterator[Picture]:
    """Yield a picture for each non-empty line and each seed."""
    for number, line in enumerate(prompts.read_text(encoding="utf-8").splitlines(), start=1):
        for seed in seeds if line.strip() else ():
            yield Picture(folder / f"{number:04}-{seed}.png", line.strip(), seed)


def draw(pipe: Text2ImagePipeline, picture: Picture, steps: int) -> None:
    """Generate a picture and write its file atomically."""
    seed = torch.Generator().manual_seed(picture.seed)
    image = pipe(picture.prompt, num_inference_steps=steps, generator=seed).images[0]
    about = PngInfo()
    about.add_itxt("prompt", picture.prompt)
    about.add_itxt("seed", str(picture.seed))
    unfinished = picture.file.with_suffix(".unfinished")
    image.save(unfinished, "PNG", pnginfo=about)
    unfinished.replace(picture.file)


def main(arguments: list[str] | None = None) -> int:
    """Generate the missing pictures. Return 1 if one failed, else 0."""
    parser = argparse.ArgumentParser(description="Draw every line of a file of prompts.")
    parser.add_argument("prompts", type=Path, help="a text file with a prompt in each line")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--model", default="demo:stable_diffusion", help="a folder or repository")
    parser.add_argument("--each", type=int, default=1, help="pictures of each prompt (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first of them (default: 0)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps (default: 30)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(options.seed, options.seed + options.each)
    pictures = list(wanted(options.prompts, options.folder, seeds))
    missing = [picture for picture in pictures if not picture.file.exists()]
    print(f"{len(missing)} of {len(pictures)} pictures are to be drawn")
    if not missing:
        return 0
    pipe = AutoPipelineForText2Image.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    failed = 0
    for number, picture in enumerate(missing, start=1):
        try:
            draw(pipe, picture, options.steps)
            print(f"{number}/{len(missing)}: {picture.file}")
        except AutopipeError as error:
            failed += 1
            print(f"{number}/{len(missing)}: {picture.file} failed: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
