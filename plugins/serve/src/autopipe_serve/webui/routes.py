"""The routes of the web UI's API."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ..security import owner_of
from ..settings import Settings
from ..studio import Studio
from . import names
from .answers import text_of
from .bodies import Image2Image, Options, PngInfo, Text2Image
from .drawing import Call
from .jobs import Desk, Job
from .png_info import read
from .wishes import Wishes, known, merged

PREFIX = "/sdapi/v1"

_EMPTY: dict[str, Any] = {
    "hypernetworks": [],
    "embeddings": {"loaded": {}, "skipped": {}},
    "face-restorers": [],
    "realesrgan-models": [],
    "prompt-styles": [],
    "latent-upscale-modes": [],
    "sd-vae": [],
    "scripts": {"txt2img": [], "img2img": []},
    "script-info": [],
    "extensions": [],
    "cmd-flags": {},
}
"""Lists of what there is none of here."""

_REFRESHED = ("checkpoints", "vae", "loras", "embeddings")


def router(studio: Studio, settings: Settings) -> APIRouter:
    """Return the routes of the web UI's API.

    Options, progress, interruption and skipping concern the calls with the same key only.

    Args:
        studio: where images are drawn.
        settings: the settings of the server.
    """
    routes = APIRouter(prefix=PREFIX, tags=["web UI"])
    desks: defaultdict[str, Desk] = defaultdict(Desk)

    def desk_of(request: Request) -> Desk:
        return desks[owner_of(request)]

    def models() -> list[str]:
        return [*studio.names.models]

    def call_of(request: Request, job: Job) -> Call:
        def loras() -> list[str]:
            return [one.name for one in studio.loras()]

        options = desk_of(request).options
        wishes = Wishes(options, models(), loras, studio.registry, settings)
        return Call(request, studio, settings, wishes, job, owner_of(request))

    @routes.post("/txt2img")
    async def txt2img(request: Request, body: Text2Image) -> dict[str, Any]:
        with desk_of(request).job(body.batch_size * body.n_iter) as job:
            return await call_of(request, job).text2image(body)

    @routes.post("/img2img")
    async def img2img(request: Request, body: Image2Image) -> dict[str, Any]:
        count = max(body.batch_size, len(body.init_images)) * body.n_iter
        with desk_of(request).job(count) as job:
            return await call_of(request, job).image2image(body)

    @routes.get("/options")
    async def options(request: Request) -> dict[str, Any]:
        return _options(desk_of(request).options, models())

    @routes.post("/options")
    async def set_options(request: Request, body: Options) -> None:
        desk = desk_of(request)
        desk.options = known(merged(desk.options, body), models())

    @routes.get("/progress")
    async def progress(request: Request, skip_current_image: bool = False) -> dict[str, Any]:
        return _progress(desk_of(request), skip_current_image)

    @routes.post("/interrupt")
    async def interrupt(request: Request) -> dict[str, Any]:
        if (job := desk_of(request).current) is not None:
            job.interrupt()
        return {}

    @routes.post("/skip")
    async def skip(request: Request) -> None:
        if (job := desk_of(request).current) is not None:
            job.skip()

    @routes.post("/png-info")
    async def png_info(body: PngInfo) -> dict[str, Any]:
        return await run_in_threadpool(read, body.image)

    @routes.get("/samplers")
    async def samplers() -> list[dict[str, Any]]:
        return names.samplers(studio.registry)

    @routes.get("/schedulers")
    async def schedulers() -> list[dict[str, Any]]:
        return names.schedulers()

    @routes.get("/upscalers")
    async def upscalers() -> list[dict[str, Any]]:
        return names.upscalers()

    @routes.get("/sd-models")
    async def sd_models() -> list[dict[str, Any]]:
        return names.models(models())

    @routes.get("/loras")
    def loras() -> list[dict[str, Any]]:
        return names.loras(studio.loras())

    for name, empty in _EMPTY.items():
        routes.add_api_route(f"/{name}", _constant(empty), methods=["GET"], name=name)
    for name in _REFRESHED:
        # Folders are read whenever they are asked for.
        routes.add_api_route(f"/refresh-{name}", _constant(None), methods=["POST"], name=name)
    return routes


def _constant(value: Any) -> Any:
    async def route() -> Any:
        return value

    return route


def _options(options: Options, models: list[str]) -> dict[str, Any]:
    """Return the options with their defaults, all of which can be set again."""
    return {
        "sd_model_checkpoint": models[0] if models else None,
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
        **options.model_dump(exclude_none=True),
        "sd_checkpoint_hash": None,
    }


def _progress(desk: Desk, skip_image: bool) -> dict[str, Any]:
    """Return the progress of the call that is drawn, or of the first one that waits."""
    job = desk.current or next(iter(desk.jobs), None)
    done = 0.0 if job is None else job.progress
    passed = 0.0 if job is None else time.time() - job.created
    preview = None if job is None or skip_image else job.preview
    return {
        "progress": done,
        "eta_relative": passed / done - passed if done else 0.0,
        "state": {
            "skipped": job is not None and job.skipped,
            "interrupted": job is not None and job.interrupted,
            "stopping_generation": False,
            "job": "" if job is None else "drawing" if job.is_drawing else "waiting",
            "job_count": 0 if job is None else job.total,
            "job_timestamp": "0"
            if job is None
            else time.strftime("%Y%m%d%H%M%S", time.localtime(job.created)),
            "job_no": 0 if job is None else min(job.finished + job.image, job.total),
            "sampling_step": 0 if job is None else job.step,
            "sampling_steps": 0 if job is None else job.steps,
        },
        "current_image": None if preview is None else text_of(preview),
        "textinfo": None,
    }
