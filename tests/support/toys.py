"""A family whose pictures tell how they were drawn, in small numbers, and others around it.

A pixel of `Paint` is a sum: what a network makes of the noise, the prompt, the guidance, the
scheduler, the negative prompt, an image to begin with, and what is attached.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import pytest
import torch

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.manifest import AddOn, Component, Condition, Engine, Manifest, Pipeline
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput, ImagePipelineOutput
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.registry import Registry, register
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_requests.family import autopipe_family


class Net(ModelMixin):
    """One number, which is added to the noise."""

    @register_to_config
    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(start))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return (noise + self.level) / 8


class Toy(DiffusionPipeline):
    """What the pipelines share."""

    def __init__(self, net: Net, scheduler: Any) -> None:
        self.register_modules(net=net, scheduler=scheduler)

    def paint(
        self, prompts: list[str], size: tuple[int, int], generators: list[Any], more: float = 0
    ) -> list[PIL.Image.Image]:
        betas = self.scheduler.config.beta_end
        more += {"DDIMScheduler": 0.1, "EulerDiscreteScheduler": 0.2}[type(self.scheduler).__name__]
        for attachment, strength in self._active():
            more += attachment.level * strength * (self.call.get("glow_by") or 1)
        found = []
        for prompt, generator in zip(prompts, generators):
            pixels = self.net(torch.rand((size[1], size[0], 3), generator=generator))
            pixels = pixels + zlib.crc32(prompt.encode()) % 64 / 256 + more + betas
            found.append(PIL.Image.fromarray((pixels.clamp(0, 1) * 255).byte().numpy()))
        return found


class Paint(Toy):
    @pipeline_call
    def __call__(
        self,
        prompt: str | list[str],
        height: int = 8,
        width: int = 8,
        num_inference_steps: int = 2,
        guidance_scale: float = 0.0,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Any = None,
    ) -> ImagePipelineOutput:
        """Paint.

        Args:
            guidance_scale: how much brighter, in [0, 100].
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        prompts = [one for one in prompts for _ in range(num_images_per_prompt)]
        generators = generator if isinstance(generator, list) else [generator] * len(prompts)
        if negative_prompt is not None:
            assert isinstance(negative_prompt, type(prompt))
        more = guidance_scale / 100 + num_inference_steps / 256
        if prompts[0] == "too few":
            prompts = prompts[:1]
        return ImagePipelineOutput(self.paint(prompts, (width, height), generators, more))


class Repaint(Toy):
    @pipeline_call
    def __call__(
        self,
        prompt: str,
        image: PIL.Image.Image,
        strength: float = 0.5,
        num_images_per_prompt: int = 1,
        generator: Any = None,
    ) -> ImagePipelineOutput:
        more = strength * np.asarray(image.convert("L")).mean() / 255
        generators = generator if isinstance(generator, list) else [generator]
        prompts = [prompt] * num_images_per_prompt
        return ImagePipelineOutput(self.paint(prompts, image.size, generators, more))


class Framed(Toy):
    def __init__(self, net: Net, scheduler: Any, frame: Net) -> None:
        self.register_modules(net=net, scheduler=scheduler, frame=frame)

    @pipeline_call
    def __call__(
        self, prompt: str, frame_width: int = 1, generator: Any = None
    ) -> ImagePipelineOutput:
        more = float(self.frame.level) * frame_width
        return ImagePipelineOutput(self.paint([prompt], (8, 8), [generator], more))


@dataclass
class Frames(BaseOutput):
    frames: Any
    frame_rate: int = 4


class Film(Toy):
    @pipeline_call
    def __call__(self, prompt: str, num_frames: int = 3, generator: Any = None) -> Frames:
        return Frames([self.paint([prompt], (8, 6), [generator])[0] for _ in range(num_frames)])


@dataclass
class Sounds:
    audios: Any


class Sing(Toy):
    sampling_rate = 8000

    @pipeline_call
    def __call__(self, prompt: str, voice: Any = None, generator: Any = None) -> Sounds:
        return Sounds(torch.rand((1, 2, 80), generator=generator) - 0.5)


class Glow(Attachment):
    """All pictures are brighter by a number in a file."""

    inputs = (Input("glow_by", "number", required=False),)
    made: ClassVar[list[str]] = []

    def __init__(self, source: str = "") -> None:
        self.made.append(source)
        self.level = float(Path(source).read_text()) if source else 0.25


class Shy(Attachment):
    """It fits nothing."""

    def check(self, pipe: Any) -> None:
        raise ArgumentError(f"{type(pipe).__name__} is too bright for Shy")


class Doubling(NetworkEngine):
    """Doubles what a network makes."""

    name = "doubling"

    def prepare(self, network: Any, method: str) -> Any:
        return lambda noise: 2 * network(noise)


HERE = __name__
PROMPT = Input("prompt", "text")
MANIFEST = Manifest(
    "toys",
    tasks=(
        Task(
            "film",
            auto_class="AutoPipelineForFilm",
            inputs=(PROMPT, Input("num_frames", "number", required=False)),
            parameters=("prompt", "num_frames"),
            output="frames",
        ),
        Task(
            "sing",
            auto_class="AutoPipelineForSinging",
            inputs=(PROMPT, Input("voice", "audio", required=False)),
            parameters=("prompt", "voice"),
            output="audios",
        ),
    ),
    pipelines=(
        Pipeline("Paint", f"{HERE}:Paint", "text2image", "paint"),
        Pipeline("Repaint", f"{HERE}:Repaint", "image2image", "paint"),
        Pipeline("Framed", f"{HERE}:Framed", "text2image", "paint", frozenset({"frame"})),
        Pipeline("Film", f"{HERE}:Film", "film", "film"),
        Pipeline("Sing", f"{HERE}:Sing", "sing", "sing"),
    ),
    components=(
        Component("Net", f"{HERE}:Net", library="toys"),
        *(
            Component(cls.__name__, f"{cls.__module__}:{cls.__name__}", kind="scheduler")
            for cls in (DDIMScheduler, EulerDiscreteScheduler)
        ),
    ),
    conditions=(
        Condition(
            "frame",
            keyword="frame",
            target=f"{HERE}:Net",
            inputs=(Input("frame_width", "number", required=False),),
        ),
    ),
    addons=(
        AddOn("glow", f"{HERE}:Glow", Glow.inputs, option="glow-from"),
        AddOn("shy", f"{HERE}:Shy", fast="nothing"),
    ),
    engines=(Engine("doubling", f"{HERE}:Doubling"),),
)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The toys are all that is installed, and the current folder has a checkpoint of each."""
    own = Installed(Plugin("requests", "autopipe-requests", "1"), autopipe_family())
    registry = Registry([own])
    monkeypatch.setattr("autopipe.registry._default", registry)
    register(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Glow, "made", [])
    for cls in (Paint, Film, Sing):
        cls(Net(), DDIMScheduler()).save_pretrained(cls.__name__.lower())
    Net(0.5).save_pretrained("frame")
    Path("quarter.txt").write_text("0.25")
    Path("half.txt").write_text("0.5")
    PIL.Image.new("RGB", (10, 6), "blue").save("photo.png")
    from autopipe.registry import default_registry

    return default_registry()
