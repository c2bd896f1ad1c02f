"""The routes of the images API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import PIL.Image
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from autopipe.tasks import Task
from autopipe.wording import listed, shown
from autopipe_requests.request import Request as Drawing

from ..errors import Refusal, check_drawn
from ..security import owner_of
from ..settings import Settings
from ..studio import Studio, Ticket
from ..uploads import Uploads
from ..waiting import drawn, note
from .answers import answer_of, encoded
from .bodies import Body, read_form, read_json
from .masks import mask_of
from .parameters import Order, read_order
from .streaming import EventStream, events_of


def router(studio: Studio, settings: Settings) -> APIRouter:
    """Return the routes of OpenAI's images API."""
    api = _Api(studio, settings)
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])
    routes.add_api_route("/images/generations", api.generate, methods=["POST"])
    routes.add_api_route("/images/edits", api.edit, methods=["POST"])
    routes.add_api_route("/models", api.models, methods=["GET"])
    routes.add_api_route("/models/{name:path}", api.model, methods=["GET"])
    return routes


class _Api:
    def __init__(self, studio: Studio, settings: Settings) -> None:
        self._studio, self._settings = studio, settings
        self._since = int(time.time())

    async def generate(self, request: Request) -> Response:
        """Draw images from a prompt."""
        return await self._answer(request, await read_json(request), "image_generation")

    async def edit(self, request: Request) -> Response:
        """Draw images from a prompt and a picture, of which a mask may keep a part."""
        body = await read_form(request)
        _check_files(body.files)
        return await self._answer(request, body, "image_edit")

    async def models(self) -> dict[str, Any]:
        """List the models that draw."""
        models = await run_in_threadpool(self._studio.models)
        drawing = [self._described(one.name) for one in models if one.tasks]
        return {"object": "list", "data": drawing}

    async def model(self, name: str) -> dict[str, Any]:
        """Describe a model."""
        self._check_model(name)
        return self._described(name)

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "autopipe"}

    def _check_model(self, name: str) -> None:
        names = self._studio.names.models
        if name not in names:
            raise Refusal(
                404,
                f"there is no model {shown(name)}; this server has {listed(names)}",
                param="model",
            )

    async def _answer(self, request: Request, body: Body, kind: str) -> Response:
        order = read_order(body.fields)
        if order.model is not None:
            self._check_model(order.model)
        ticket, uploads = await run_in_threadpool(self._submit, order, body, owner_of(request))
        if uploads is not None:
            uploads.close_after(ticket)
        if order.stream:
            note(request, ticket)
            return EventStream(events_of(ticket, order, kind), ticket.cancel)
        check_drawn(await drawn(request, ticket))
        return JSONResponse(await run_in_threadpool(_answered, request, ticket, order))

    def _submit(self, order: Order, body: Body, owner: str) -> tuple[Ticket, Uploads | None]:
        """Submit what a client asks for, and return its files as well, if any; it blocks."""
        given = {**order.given, "model": order.model}
        with ExitStack() as stack:
            uploads = stack.enter_context(Uploads(self._settings)) if body.files else None
            if uploads is not None:
                given |= _uploaded(body, uploads)
            first = self._studio.complete(given, uploads.folder if uploads else None)
            ticket = self._studio.submit(_repeated(first, order), owner)
            stack.pop_all()
        return ticket, uploads


def _check_files(files: Mapping[str, Sequence[bytes]]) -> None:
    """Check that there is one picture, and at most one mask."""
    for name, contents in {"image": (), **files}.items():
        if name not in ("image", "mask"):
            raise Refusal(400, f"the file {shown(name)} is not used; leave it out", param="image")
        if len(contents) != 1:
            raise Refusal(
                400, f"{len(contents) or 'no'} files were given as {name}; send one", param=name
            )


def _uploaded(body: Body, uploads: Uploads) -> dict[str, str]:
    """Return the names of the picture and the mask."""
    try:
        names = {"image": uploads.add(body.files["image"][0])}
        for one in body.files.get("mask", ()):
            file = uploads.folder / uploads.add(one, "mask", "mask")
            mask = mask_of(file, uploads.folder / names["image"])
            names["mask"] = uploads.add(mask, "mask", "mask")
    except Refusal as error:
        # The client has a class for 400, and none for 415.
        status = 400 if error.status == 415 else error.status
        raise Refusal(status, str(error), param=error.param) from None
    return names


def _repeated(first: Drawing, order: Order) -> list[Drawing]:
    """Return the requests for all images, whose seeds count up."""
    if first.task is not None and Task(first.task).output != "images":
        raise Refusal(
            400, f"the model does the task {first.task}, which makes no images", param="model"
        )
    if first.seed + order.count > 2**63:
        raise Refusal(400, f"seed {first.seed} is too large for {order.count} images", param="seed")
    return [first.with_seed(first.seed + i) for i in range(order.count)]


def _answered(request: Request, ticket: Ticket, order: Order) -> dict[str, Any]:
    """Return the answer for a ticket that is done."""
    if order.as_url:
        with PIL.Image.open(ticket.files[0]) as image:
            size = image.size
        urls = [f"{request.base_url}requests/{ticket.id}/results/{i}" for i in range(order.count)]
        return answer_of([{"url": one} for one in urls], size, order)
    made = [encoded(one, order) for one in ticket.files]
    return answer_of([{"b64_json": one.text} for one in made], made[0].size, order)
