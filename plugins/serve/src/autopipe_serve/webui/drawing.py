"""Draws what `txt2img` and `img2img` ask for."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image, ImageOps
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest

from autopipe_requests.request import Request

from ..errors import check_drawn
from ..settings import Settings
from ..studio import BusyError, LimitError, StoppingError, Studio
from ..uploads import Uploads
from ..waiting import drawn
from . import canvas, names
from .answers import Picture, answer
from .bodies import LARGEST_SEED, Drawing, Image2Image, Text2Image
from .jobs import Job
from .wishes import Wish, Wishes, enlarged_size, second_pass

Made: TypeAlias = list[tuple[Request, Path]]
"""The requests that were drawn, with their files."""

_CONTENTS = ("fill", "original", "latent noise", "latent nothing")


class Call:
    """One call of a client.

    Args:
        request: how it came.
        studio: where its images are drawn.
        settings: the settings of the server.
        wishes: what reads its body.
        job: what its progress is noted in.
        owner: who sent it.
    """

    def __init__(
        self,
        request: HttpRequest,
        studio: Studio,
        settings: Settings,
        wishes: Wishes,
        job: Job,
        owner: str,
    ) -> None:
        self._request, self._studio, self._settings = request, studio, settings
        self._wishes, self._job, self._owner = wishes, job, owner

    async def text2image(self, body: Text2Image) -> dict[str, Any]:
        """Return the answer to `txt2img`.

        Raises:
            AutopipeError: if it is refused, or can't be drawn.
        """
        wish = self._wishes.read(body, "text2image")
        seeds = _seeds(body)
        if not body.enable_hr:
            requests = await run_in_threadpool(self._completed, wish.given, seeds)
            made = await self._draw(requests)
            pictures = [Picture(file, one.seed) for one, file in made]
            return await run_in_threadpool(answer, body, wish, seeds, pictures)
        return await self._in_two_passes(body, wish, seeds)

    async def image2image(self, body: Image2Image) -> dict[str, Any]:
        """Return the answer to `img2img`.

        Raises:
            AutopipeError: if it is refused, or can't be drawn.
        """
        if len(body.init_images) > 1:
            body = body.model_copy(update={"batch_size": len(body.init_images)})
        wish = self._wishes.read(body, "image2image" if body.mask is None else "inpaint")
        seeds = _seeds(body)
        comments = [*wish.comments]
        if body.resize_mode == 3:
            comments.append("resize_mode 3 resizes pixels here, as 0 does, not latents")
        if body.mask is not None and body.inpainting_fill in (canvas.NOISE, canvas.ZEROS):
            comments.append(
                f"inpainting_fill {body.inpainting_fill} puts noise or gray under the mask in "
                f"pixels here, not in latents"
            )
        wish = replace(wish, comments=comments)
        with await run_in_threadpool(Uploads, self._settings) as uploads:
            canvases, requests = await run_in_threadpool(self._prepared, body, wish, seeds, uploads)
            made = await self._draw(requests)
        about = _about_mask(body)
        under = dict(zip(seeds, itertools.cycle(canvases))) if body.mask is not None else {}
        pictures = [Picture(file, one.seed, under.get(one.seed), about) for one, file in made]
        return await run_in_threadpool(answer, body, wish, seeds, pictures)

    def _completed(
        self, given: Mapping[str, Any], seeds: Sequence[int], folder: Path | None = None
    ) -> list[Request]:
        first = self._studio.complete({**given, "seed": seeds[0]}, folder)
        return [first.with_seed(seed) for seed in seeds]

    async def _draw(self, waiting: Sequence[Request]) -> Made:
        """Draw requests, until they are drawn or the call is interrupted."""
        job, made = self._job, list[tuple[Request, Path]]()
        while waiting and not job.interrupted:
            try:
                ticket = await run_in_threadpool(self._studio.submit, waiting, self._owner)
            except (BusyError, StoppingError):
                if not made:
                    raise
                break  # The rest of a call of which an image was skipped has lost its place.
            with job.waiting_for(ticket):
                await drawn(self._request, ticket)
            made += zip(ticket.requests, ticket.files)
            stopped = ticket.state == "cancelled" and (job.interrupted or job.skipped)
            if not stopped:
                check_drawn(ticket)
            count = len(ticket.files) + 1 if stopped else len(waiting)
            job.finished, job.skipped = job.finished + count, False
            waiting = waiting[count:]
        return made

    def _prepared(
        self, body: Image2Image, wish: Wish, seeds: Sequence[int], uploads: Uploads
    ) -> tuple[list[canvas.Canvas], list[Request]]:
        """Return what each of the given images is drawn on, and the requests for all seeds."""
        mask = None
        if body.mask is not None:
            mask = _opened(uploads, uploads.add_text(body.mask, "mask", "mask"))
        given = {**wish.given, "strength": body.denoising_strength}
        canvases, first = [], []
        for number, text in enumerate(body.init_images):
            image = canvas.flat(_opened(uploads, uploads.add_text(text, "init_images")))
            soft = None
            if mask is not None:
                inverted = bool(body.inpainting_mask_invert)
                soft = canvas.mask_of(mask, image.size, inverted=inverted, blur=body.mask_blur)
            made = canvas.canvas_of(
                image,
                soft,
                body.size,
                mode=body.resize_mode,
                padding=body.inpaint_full_res_padding if body.inpaint_full_res else None,
                fill=body.inpainting_fill,
                seed=seeds[0],
            )
            files = {"image": _saved(made.image, uploads, f"image-{number}")}
            if made.mask is not None:
                files["mask"] = _saved(made.mask, uploads, f"mask-{number}")
            canvases.append(made)
            first += self._completed({**given, **files}, seeds[:1], uploads.folder)
        pairs = zip(itertools.cycle(first), seeds)
        return canvases, [one.with_seed(seed) for one, seed in pairs]

    async def _in_two_passes(
        self, body: Text2Image, wish: Wish, seeds: Sequence[int]
    ) -> dict[str, Any]:
        """Draw small images, enlarge them, and change the large ones."""
        how, size = names.known_upscaler(body.hr_upscaler), enlarged_size(body)
        if size[0] * size[1] > self._settings.limits.pixels:
            raise LimitError(
                f"enable_hr enlarges to {size[0]}x{size[1]} pixels, and an image has at most "
                f"{self._settings.limits.pixels:,}; give a smaller hr_scale"
            )
        second = self._wishes.read(second_pass(body), "image2image")
        given = {**second.given, "strength": body.denoising_strength}
        comments = dict.fromkeys([*wish.comments, *second.comments])
        if body.hr_upscaler.startswith(names.LATENT):
            comments[f"{body.hr_upscaler} enlarges pixels by Lanczos here, not latents"] = None
        requests = await run_in_threadpool(self._completed, wish.given, seeds)
        self._job.total = 2 * len(seeds)
        made = await self._draw(requests)
        pairs: dict[str, str] = {}
        if not self._job.interrupted:
            with await run_in_threadpool(Uploads, self._settings) as uploads:
                enlarge = partial(self._enlarged, made, given, uploads, size, how)
                large = await self._draw(await run_in_threadpool(enlarge))
            if large:
                made, pairs = large, _about_passes(body, second)
        wish = replace(wish, comments=list(comments))
        pictures = [Picture(file, one.seed, None, pairs) for one, file in made]
        return await run_in_threadpool(answer, body, wish, seeds, pictures)

    def _enlarged(
        self,
        made: Made,
        given: Mapping[str, Any],
        uploads: Uploads,
        size: canvas.Size,
        how: Image.Resampling,
    ) -> list[Request]:
        """Return the requests of the second pass."""
        found = []
        for number, (one, file) in enumerate(made):
            with Image.open(file) as opened:
                large = ImageOps.fit(opened.convert("RGB"), size, how)
            named = {**given, "image": _saved(large, uploads, f"enlarged-{number}")}
            found += self._completed(named, [one.seed], uploads.folder)
        return found


def _seeds(body: Drawing) -> list[int]:
    """Return the seeds of all images, which count up."""
    count = body.batch_size * body.n_iter
    first = secrets.randbelow(2**32) if body.seed == -1 else body.seed
    return [(first + one) % (LARGEST_SEED + 1) for one in range(count)]


def _opened(uploads: Uploads, name: str) -> Image.Image:
    with Image.open(uploads.folder / name) as opened:
        return opened.copy()


def _saved(image: Image.Image, uploads: Uploads, name: str) -> str:
    image.save(uploads.folder / f"{name}.png", compress_level=1)
    return f"{name}.png"


def _about_mask(body: Image2Image) -> dict[str, str]:
    """Return what `parameters` say about the mask."""
    if body.mask is None:
        return {}
    pairs = {
        "Mask blur": f"{body.mask_blur:g}",
        "Masked content": _CONTENTS[body.inpainting_fill],
    }
    if body.inpainting_mask_invert:
        pairs["Mask mode"] = "Inpaint not masked"
    if body.inpaint_full_res:
        pairs["Inpaint area"] = "Only masked"
        pairs["Masked area padding"] = f"{body.inpaint_full_res_padding}"
    return pairs


def _about_passes(body: Text2Image, second: Wish) -> dict[str, str]:
    """Return what `parameters` say about the second pass; the rest is what they say of the first.

    Prompts of their own stay those of the second pass.
    """
    pairs = {
        "Steps": f"{body.steps}",
        "Size": "{}x{}".format(*body.size),
        "Hires upscale": f"{body.hr_scale:g}",
        "Hires upscaler": body.hr_upscaler,
    }
    if body.hr_resize_x or body.hr_resize_y:
        pairs["Hires resize"] = "{}x{}".format(*second.given["size"])
    if body.hr_second_pass_steps:
        pairs["Hires steps"] = f"{body.hr_second_pass_steps}"
    return pairs
