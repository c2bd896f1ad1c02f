"""Measure the demo checkpoint by looking at what it draws, changes and repaints.

    python -m demo.evaluate --model src/autopipe_stable_diffusion/demo

Pictures are judged by plain image analysis (`judge.py`); every seed is fixed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)

from .card import model_card
from .judge import Finding, Mask, grown, intersection_over_union, judge
from .shapes import COLOURS, OUTLINES, WITHHELD, Scene, caption, draw, place, random_scene

DEMO = Path(__file__).parents[1] / "src" / "autopipe_stable_diffusion" / "demo"
WITHHELD_SHARE = 0.2
KEPT_LAYOUT = 0.6
"""Least overlap (intersection over union) of the object before and after a change of colour."""
MASK_MARGIN = 5
"""Pixels by which the repainted mask surrounds the object that it hides."""
UNCHANGED = 4.0
"""Most that pixels outside the mask may change on average, in steps of 0 to 255."""

Draw = Callable[[Sequence["Trial"]], list[Image.Image]]


@dataclass(frozen=True)
class Settings:
    """How the pipelines are called."""

    steps: int
    guidance: float
    strength: float
    batch: int


@dataclass(frozen=True)
class Trial:
    """One picture to be made: what is wanted, in words too, and what it starts from."""

    wanted: Scene
    text: str
    seed: int
    before: Scene | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class Judged:
    """A trial, its picture and what the picture shows."""

    trial: Trial
    picture: Image.Image
    finding: Finding

    @property
    def right(self) -> bool:
        """Whether colour and shape are the wanted ones."""
        wanted = self.trial.wanted
        return (self.finding.colour, self.finding.shape) == (wanted.colour, wanted.shape)


def text_trials(count: int, seed: int = 1) -> list[Trial]:
    """Captions to draw: a fifth of withheld pairs, most with a background."""
    rng = Random(f"text {seed}")
    trials = []
    for i in range(count):
        scene = random_scene(rng, withheld=i < round(count * WITHHELD_SHARE))
        text = caption(scene, background=rng.random() < 0.8)
        trials.append(Trial(scene, text, seed=1000 + i))
    return trials


def colour_trials(count: int, seed: int = 2) -> list[Trial]:
    """Drawn pictures whose object is to take another colour."""
    rng = Random(f"colour {seed}")
    trials = []
    for i in range(count):
        before = random_scene(rng)
        others = [c for c in COLOURS if c not in (before.colour, before.background)]
        wanted = replace(before, colour=rng.choice(others))
        trials.append(Trial(wanted, caption(wanted), seed=2000 + i, before=before))
    return trials


def repaint_trials(count: int, seed: int = 3) -> list[Trial]:
    """Drawn pictures whose object, under a mask, is to become another one."""
    rng = Random(f"repaint {seed}")
    trials = []
    for i in range(count):
        before = random_scene(rng)
        shape = rng.choice([name for name in OUTLINES if name != before.shape])
        colour = rng.choice([c for c in COLOURS if c not in (before.colour, before.background)])
        wanted = place(rng, shape, colour, before.background, before.position, before.size)
        mask = box(judge(draw(before)).mask)
        text = caption(wanted)
        trials.append(Trial(wanted, text, seed=3000 + i, before=before, mask=mask))
    return trials


def box(mask: Mask | None) -> Mask:
    """The rectangle around a mask, `MASK_MARGIN` wider on each side."""
    assert mask is not None
    rectangle = np.outer(mask.any(1), mask.any(0))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    rectangle[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return grown(rectangle, MASK_MARGIN)


def mask_picture(mask: Mask) -> Image.Image:
    """A mask as a black and white picture, white where it holds."""
    return Image.fromarray((mask * np.uint8(255)).astype(np.uint8))


def run(trials: Sequence[Trial], make: Draw, batch: int) -> list[Judged]:
    """Make and judge the pictures of all trials."""
    judged: list[Judged] = []
    for start in range(0, len(trials), batch):
        part = trials[start : start + batch]
        judged += [Judged(t, p, judge(p)) for t, p in zip(part, make(part))]
        print(f"  {len(judged)} of {len(trials)}", end="\r", flush=True)
    return judged


def makers(model: str, settings: Settings, scheduler: str | None) -> tuple[Draw, Draw, Draw]:
    """The three tasks on one set of weights."""
    draws: Any = AutoPipelineForText2Image.from_pretrained(model, torch_dtype=torch.float32)
    if scheduler:
        import autopipe

        draws.scheduler = getattr(autopipe, scheduler).from_config(draws.scheduler.config)
    changes: Any = AutoPipelineForImage2Image.from_pipe(draws)
    repaints: Any = AutoPipelineForInpainting.from_pipe(draws)
    for pipe in (draws, changes, repaints):
        pipe.set_progress_bar_config(disable=True)

    def common(trials: Sequence[Trial]) -> dict[str, Any]:
        return {
            "prompt": [t.text for t in trials],
            "generator": [torch.Generator().manual_seed(t.seed) for t in trials],
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
        }

    def before(trials: Sequence[Trial]) -> list[Image.Image]:
        return [draw(t.before) for t in trials if t.before]

    def text(trials: Sequence[Trial]) -> list[Image.Image]:
        return list(draws(**common(trials)).images)

    def colour(trials: Sequence[Trial]) -> list[Image.Image]:
        image = before(trials)
        return list(changes(**common(trials), image=image, strength=settings.strength).images)

    def repaint(trials: Sequence[Trial]) -> list[Image.Image]:
        masks = [mask_picture(t.mask) for t in trials if t.mask is not None]
        return list(repaints(**common(trials), image=before(trials), mask_image=masks).images)

    return text, colour, repaint


def share(flags: Sequence[bool]) -> float:
    """Percent of flags that hold, to one decimal."""
    return round(100 * sum(flags) / len(flags), 1) if flags else float("nan")


def text_figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Percent right, by what was asked."""

    def pair(j: Judged) -> tuple[str, str]:
        return j.trial.wanted.colour, j.trial.wanted.shape

    grounded = [j for j in judged if "background" in j.trial.text]
    return {
        "captions": len(judged),
        "seen_right": share([j.right for j in judged if pair(j) not in WITHHELD]),
        "withheld_right": share([j.right for j in judged if pair(j) in WITHHELD]),
        "position_right": share([j.finding.position == j.trial.wanted.position for j in judged]),
        "background_right": share(
            [j.finding.background == j.trial.wanted.background for j in grounded]
        ),
    }


def colour_figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Percent of pictures in which the colour changed as asked, the layout stayed, and both."""
    colour = [j.finding.colour == j.trial.wanted.colour for j in judged]
    layout = [
        j.finding.mask is not None
        and j.finding.shape == j.trial.wanted.shape
        and intersection_over_union(j.finding.mask, _mask_before(j)) >= KEPT_LAYOUT
        for j in judged
    ]
    return {
        "pictures": len(judged),
        "colour_right": share(colour),
        "layout_kept": share(layout),
        "both": share([c and k for c, k in zip(colour, layout)]),
    }


def repaint_figures(judged: Sequence[Judged]) -> dict[str, float]:
    """Percent of pictures with the asked object inside the mask, and how the rest changed."""
    inside = [
        j.finding.mask is not None and not (j.finding.mask & ~_trial_mask(j)).any() for j in judged
    ]
    changes = [change_outside(j) for j in judged]
    return {
        "pictures": len(judged),
        "right": share([j.right for j in judged]),
        "right_inside_mask": share([j.right and i for j, i in zip(judged, inside)]),
        "unchanged_outside": share([c <= UNCHANGED for c in changes]),
        "mean_change_outside": round(float(np.mean(changes)), 2),
    }


def change_outside(judged: Judged) -> float:
    """Mean absolute change of the pixels outside the mask, in steps of 0 to 255."""
    assert judged.trial.before is not None
    before = np.asarray(draw(judged.trial.before), dtype=np.float64)
    after = np.asarray(judged.picture.convert("RGB"), dtype=np.float64)
    return float(np.abs(after - before)[~_trial_mask(judged)].mean())


def _mask_before(judged: Judged) -> Mask:
    assert judged.trial.before is not None
    mask = judge(draw(judged.trial.before)).mask
    assert mask is not None
    return mask


def _trial_mask(judged: Judged) -> Mask:
    assert judged.trial.mask is not None
    return judged.trial.mask


def contact_sheet(judged: Sequence[Judged], columns: int = 20) -> Image.Image:
    """All pictures in rows, what they started from above them, wrong ones underlined in red."""
    paired = any(j.trial.before for j in judged)
    width, height = 66, 132 if paired else 68
    rows = -(-len(judged) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for i, j in enumerate(judged):
        x, y = i % columns * width, i // columns * height
        if j.trial.before:
            sheet.paste(draw(j.trial.before), (x, y))
            y += 64
        sheet.paste(j.picture, (x, y))
        if not j.right:
            sheet.paste((255, 0, 0), (x, y + 64, x + 64, y + 66))
    return sheet


def main() -> None:
    """Read the command line, measure, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(DEMO), help="the checkpoint folder")
    parser.add_argument("--captions", type=int, default=300, help="pictures drawn from text")
    parser.add_argument("--changes", type=int, default=60, help="pictures changed and repainted")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--strength", type=float, default=0.6, help="of image to image")
    parser.add_argument("--scheduler", help="class name of another scheduler")
    parser.add_argument("--batch", type=int, default=60, help="pictures per call")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets of the pictures")
    parser.add_argument("--card", action="store_true", help="write the figures to the model card")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    settings = Settings(options.steps, options.guidance, options.strength, options.batch)
    text, colour, repaint = makers(options.model, settings, options.scheduler)
    results = {
        "text_to_image": run(text_trials(options.captions), text, settings.batch),
        "image_to_image": run(colour_trials(options.changes), colour, settings.batch),
        "inpainting": run(repaint_trials(options.changes), repaint, settings.batch),
    }
    figures = {
        "settings": asdict(settings),
        "text_to_image": text_figures(results["text_to_image"]),
        "image_to_image": colour_figures(results["image_to_image"]),
        "inpainting": repaint_figures(results["inpainting"]),
    }
    print(json.dumps(figures, indent=2))
    if options.card:
        command = "python -m demo.evaluate --card " + " ".join(
            f"--{name} {getattr(options, name)}"
            for name in ("captions", "changes", "steps", "guidance", "strength")
        )
        Path(options.model, "README.md").write_text(model_card(figures, command), "utf-8")
    if options.sheets:
        options.sheets.mkdir(parents=True, exist_ok=True)
        for name, judged in results.items():
            contact_sheet(judged).save(options.sheets / f"{name}.png")


if __name__ == "__main__":
    main()
