"""The kit finds semantic bugs in a real family: Stable Diffusion with one step broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from transformers import CLIPTextModel

from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from autopipe.registry import default_registry
from autopipe.tasks import Task
from autopipe_components.latent import steps
from autopipe_components.steps import inpaint
from autopipe_devkit.conformance.checks import OF_A_TASK
from autopipe_devkit.conformance.subject import Subject
from autopipe_devkit.conformance.verdict import Unjudged

Patch = pytest.MonkeyPatch
FAMILY = default_registry().families["stable_diffusion"]
SAMPLES = {"eta": (0.0, 1.0), "guidance_rescale": (0.0, 0.7), "clip_skip": (None, 1)}


def make(folder: Path, **changes: Any) -> Path:
    """Save a tiny checkpoint with `changes` in the config of its U-Net; return its folder."""
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer = tiny.make_tokenizer(folder / "tokenizer")
    StableDiffusionPipeline(
        vae=tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
        text_encoder=tiny.make_text_encoder(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        unet=tiny.seeded(lambda: UNet2DConditionModel(**{**tiny.UNET, **changes}), seed=1),
        scheduler=DDIMScheduler(**tiny.BETAS, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "saved")
    return folder / "saved"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("checkpoint"))


def subject(folder: Path, task: Task) -> Subject:
    pipeline = next(p for p in FAMILY.pipelines if p.task == task)
    taken = Subject(FAMILY, pipeline, folder, folder, task).taken
    samples = {name: values for name, values in SAMPLES.items() if name in taken}
    return Subject(FAMILY, pipeline, folder, folder, task, size=(16, 16), samples=samples)


def ignore(name: str, value: Any) -> Callable[[Patch], None]:
    """Return a patch that makes every step read `value` for an argument."""

    def broken(patch: Patch) -> None:
        begin = steps.LatentPipeline.begin_call

        def begun(self: Any) -> int:
            batch: int = begin(self)
            self.call = self.call.replace(**{name: value})
            return batch

        patch.setattr(steps.LatentPipeline, "begin_call", begun)

    return broken


def guides_nowhere(patch: Patch) -> None:
    patch.setattr(steps, "guide", lambda prediction, *_, **__: prediction.chunk(2)[1])


def guides_back(patch: Patch) -> None:
    def guide(prediction: Any, scale: float, **_: Any) -> Any:
        away, towards = prediction.chunk(2)
        return towards + scale * (away - towards)

    patch.setattr(steps, "guide", guide)


def rescales_never(patch: Patch) -> None:
    patch.setattr(steps.LatentPipeline, "guidance_rescale", 0.0)


def swaps_sizes(patch: Patch) -> None:
    asked = steps.LatentPipeline.resolve_size
    patch.setattr(steps.LatentPipeline, "resolve_size", lambda self: asked(self)[::-1])


def takes_all_steps(patch: Patch) -> None:
    patch.setattr(StableDiffusionImg2ImgPipeline, "trim_start", lambda self, schedule: schedule)


def keeps_nothing(patch: Patch) -> None:
    patch.setattr(
        inpaint.Inpainting, "keep", lambda self, scheduler, times, index, latents: latents
    )


def keeps_the_wrong_part(patch: Patch) -> None:
    blend = inpaint.blend
    patch.setattr(inpaint, "blend", lambda mask, painted, kept: blend(1 - mask, painted, kept))


def skips_no_layers(patch: Patch) -> None:
    patch.setattr(steps.LatentPipeline, "clip_skip", None)


TEXT, IMAGE, MASK = Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT
BROKEN: list[tuple[Task, str, Callable[[Patch], None], str]] = [
    (TEXT, "effects", guides_nowhere, "^guidance_scale has no effect in text2image$"),
    (TEXT, "guidance", guides_back, "guidance goes towards the negative_prompt in text2image"),
    (IMAGE, "effects", guides_nowhere, "guidance_scale has no effect in image2image"),
    (TEXT, "effects", rescales_never, "^guidance_rescale has no effect in text2image$"),
    (TEXT, "effects", skips_no_layers, "^clip_skip has no effect in text2image$"),
    (TEXT, "effects", ignore("eta", 0.0), "^eta has no effect in text2image$"),
    (
        MASK,
        "effects",
        ignore("negative_prompt", None),
        "^negative_prompt has no effect",
    ),
    (TEXT, "effects", ignore("num_inference_steps", 3), "num_inference_steps has no effect"),
    (TEXT, "steps", ignore("num_inference_steps", 3), "no network is used more often"),
    (TEXT, "size", swaps_sizes, "height and width \\(16, 32\\) where height=32 and width=16"),
    (IMAGE, "effects", takes_all_steps, "strength has no effect in image2image"),
    (IMAGE, "strength", takes_all_steps, "image2image departs no further from image"),
    (MASK, "mask", keeps_nothing, "inpaint changes what mask_image leaves black"),
    (MASK, "mask", keeps_the_wrong_part, "inpaint changes what mask_image leaves black"),
    (TEXT, "effects", ignore("latents", None), "^latents has no effect in text2image$"),
    (TEXT, "latents", ignore("latents", None), "text2image doesn't start from the latents"),
]


@pytest.mark.parametrize(("task", "check", "broken", "message"), BROKEN)
def test_a_broken_step_is_found(
    task: Task,
    check: str,
    broken: Callable[[Patch], None],
    message: str,
    checkpoint: Path,
    monkeypatch: Patch,
) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError) as caught:
        OF_A_TASK[check](subject(checkpoint, task))
    assert re.search(message, str(caught.value), re.MULTILINE), caught.value
    assert not isinstance(caught.value, Unjudged)


@pytest.mark.parametrize("task", [TEXT, IMAGE, MASK])
def test_the_family_passes_with_samples_of_its_own(task: Task, checkpoint: Path) -> None:
    whole = subject(checkpoint, task)
    for check in sorted({check for of, check, *_ in BROKEN if of == task}):
        OF_A_TASK[check](whole)
    assert not {one.partition(":")[0] for one in whole.notes.unchecked} & SAMPLES.keys()


def test_a_network_that_is_given_the_mask_is_not_judged(tmp_path: Path) -> None:
    folder = make(tmp_path, in_channels=9)
    with pytest.raises(Unjudged, match="the unet is given the mask"):
        OF_A_TASK["mask"](subject(folder, MASK))
    OF_A_TASK["effects"](subject(folder, MASK))
