"""What the operator of a server decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autopipe_requests.placement import Placement


class Limits(BaseModel):
    """The limits of one request, and of all of them.

    Attributes:
        queue: the number of requests that wait; a further one is refused.
        seconds: the time that one request may draw.
        pixels: the most pixels of one image.
        steps: the most denoising steps.
        images: the most images of one request.
        prompt: the most characters of a prompt.
        body: the most bytes of a request's body.
        upload: the most pixels of an uploaded image.
        results: the number of finished requests whose results are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: int = Field(default=64, ge=0)
    seconds: float = Field(default=600, gt=0)
    pixels: int = Field(default=2048 * 2048, ge=1)
    steps: int = Field(default=150, ge=1)
    images: int = Field(default=10, ge=1)
    prompt: int = Field(default=10_000, ge=1)
    body: int = Field(default=64 * 2**20, ge=1)
    upload: int = Field(default=4096 * 4096, ge=1)
    results: int = Field(default=1000, ge=1)


class Settings(BaseModel):
    """The settings of a server.

    Attributes:
        models: the checkpoints that clients may name, by the name that they use; the first is the
            default. Empty for the demo of an installed family.
        folder: the folder of results; each result is a file that carries its request.
        loras: the folder of the adapters that requests may name, or None.
        placement: where pipelines compute.
        memory: the bytes of main and device memory that loaded checkpoints may take together; None
            for no limit but the machine's.
        workers: the number of requests that are drawn at the same time.
        keys: the API keys; without any, all clients are served.
        hosts: the host names that clients may use in addition to those of the loopback.
        allow_addresses: whether images may be given by URL.
        log_prompts: whether prompts are written into logs.
        sharing: whether requests of equal shape share forward passes, as far as they are drawn at
            the same time.
        previews: whether images are shown while they are drawn.
        limits: the limits of requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    models: Mapping[str, str] = Field(default_factory=dict)
    folder: Path
    loras: Path | None = None
    placement: Placement = Placement()
    memory: int | None = None
    workers: int = Field(default=1, ge=1)
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    allow_addresses: bool = False
    log_prompts: bool = False
    sharing: bool = False
    previews: bool = True
    limits: Limits = Limits()
