"""What `txt2img` and `img2img` answer: the images, and what is known about them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import strftime
from typing import Any

from PIL import Image

from autopipe import __version__
from autopipe_requests.foreign.infotext import joined, split
from autopipe_requests.pictures import PARAMETERS, save_image, texts_of

from .bodies import Image2Image, Text2Image
from .canvas import Canvas
from .wishes import Wish


@dataclass(frozen=True)
class Picture:
    """One image of an answer.

    Attributes:
        file: the file that the studio has written.
        seed: its seed.
        canvas: what it is put back into, or None.
        pairs: settings to add to its `parameters`.
    """

    file: Path
    seed: int
    canvas: Canvas | None = None
    pairs: Mapping[str, str] = field(default_factory=dict)

    def written(self, format: str) -> tuple[bytes, str]:
        """Return the bytes of the image in a format, and its `parameters`.

        The file as it was written is answered, with its record, if nothing has to be changed. An
        image that was put back into another has no record, since that is another image's.
        """
        texts = texts_of(self.file)
        if self.pairs and PARAMETERS in texts:
            positive, negative, pairs = split(texts[PARAMETERS])
            texts[PARAMETERS] = joined(positive, negative, {**pairs, **self.pairs})
        about = texts.get(PARAMETERS, "")
        if self.canvas is None and not self.pairs and format == "PNG":
            return self.file.read_bytes(), about
        with Image.open(self.file) as opened:
            image: Image.Image = opened.copy()
        if self.canvas is not None:
            image, texts = self.canvas.put_back(image), {PARAMETERS: about}
        stream = io.BytesIO()
        save_image(image, stream, texts, format)
        return stream.getvalue(), about


def answer(
    body: Text2Image | Image2Image, wish: Wish, seeds: Sequence[int], pictures: Sequence[Picture]
) -> dict[str, Any]:
    """Return the answer to `txt2img` or `img2img`.

    Args:
        seeds: those of all images that were asked for.
        pictures: those that were drawn.
    """
    written = [one.written(wish.format) for one in pictures]
    images = [text_of(content) for content, _ in written] if body.send_images else []
    seeds = [one.seed for one in pictures] or seeds
    info = _info(body, wish, seeds, [about for _, about in written])
    parameters = body.model_dump()
    if isinstance(body, Image2Image) and not body.include_init_images:
        parameters |= {"init_images": None, "mask": None}
    return {"images": images, "parameters": parameters, "info": json.dumps(info)}


def text_of(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def _info(
    body: Text2Image | Image2Image, wish: Wish, seeds: Sequence[int], about: Sequence[str]
) -> dict[str, Any]:
    count = len(seeds)
    is_changed = isinstance(body, Image2Image) or body.enable_hr
    return {
        "prompt": body.prompt,
        "all_prompts": [body.prompt] * count,
        "negative_prompt": body.negative_prompt,
        "all_negative_prompts": [body.negative_prompt] * count,
        "seed": seeds[0],
        "all_seeds": list(seeds),
        "subseed": -1,
        "all_subseeds": [-1] * count,
        "subseed_strength": 0,
        "width": body.size[0],
        "height": body.size[1],
        "sampler_name": wish.sampler,
        "cfg_scale": body.cfg_scale,
        "steps": body.steps,
        "batch_size": body.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": wish.model,
        "sd_model_hash": None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": 0,
        "seed_resize_from_h": 0,
        "denoising_strength": body.denoising_strength if is_changed else None,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": list(about),
        "styles": [],
        "job_timestamp": strftime("%Y%m%d%H%M%S"),
        "clip_skip": wish.skipped + 1,
        "is_using_inpainting_conditioning": False,
        "version": f"autopipe {__version__}",
        "comments": list(wish.comments),
    }
