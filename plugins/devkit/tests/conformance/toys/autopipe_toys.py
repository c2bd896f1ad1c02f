"""A stranger's plugin: tasks that the core has never heard of, served in small numbers.

Its pipelines draw from noise as wide as `SIZE`, told by the letters of a text, by the mean of a
picture, or by nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autopipe import (
    BaseOutput,
    Component,
    DiffusionPipeline,
    Family,
    ImagePipelineOutput,
    Input,
    ModelMixin,
    Pipeline,
    SchedulerMixin,
    Task,
    hookimpl,
    register_to_config,
)
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import denoise

SIZE = 8
STEPS = {"num_inference_steps": (2, 3)}
PROMPT = Input("prompt", "text")
PROMPTS = {"prompt": ("a dog barks", "rain")}

TASKS = (
    Task(
        "noise2image",
        auto_class="AutoPipelineForNoise2Image",
        parameters=(
            "batch_size", "num_inference_steps", "generator", "output_type", "return_dict",
            "callback_on_step_end", "callback_on_step_end_tensor_inputs",
        ),
        repeats="batch_size",
        samples=STEPS,
    ),
    Task(
        "text2video",
        auto_class="AutoPipelineForText2Video",
        inputs=(PROMPT,),
        parameters=(
            "prompt", "num_frames", "num_videos_per_prompt", "num_inference_steps", "generator",
            "output_type", "return_dict",
        ),
        output="frames",
        repeats="num_videos_per_prompt",
        samples={**STEPS, **PROMPTS, "num_frames": (3,)},
    ),
    Task(
        "text2audio",
        auto_class="AutoPipelineForText2Audio",
        inputs=(PROMPT,),
        parameters=("prompt", "num_inference_steps", "generator"),
        output="audios",
        samples={**STEPS, **PROMPTS},
    ),
    Task(
        "enlarge",
        auto_class="AutoPipelineForEnlarging",
        inputs=(Input("image", "image"),),
        parameters=("image", "num_inference_steps", "generator", "output_type"),
        samples=STEPS,
    ),
    Task(
        "retouch",
        auto_class="AutoPipelineForRetouching",
        inputs=(Input("image", "image"), PROMPT),
        parameters=("image", "prompt", "num_inference_steps", "generator", "output_type"),
        samples={**STEPS, **PROMPTS},
    ),
)  # fmt: skip


class ToyNetwork(ModelMixin):
    """A linear layer over the last axis, moved by what it is told."""

    @register_to_config
    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, sample: Tensor, told: Tensor) -> Tensor:
        moved: Tensor = self.linear(sample) + told.reshape(-1, *[1] * (sample.ndim - 1))
        return moved


@dataclass
class StepOutput(BaseOutput):
    prev_sample: Tensor


class ToyScheduler(SchedulerMixin):
    """Goes a part of the way in each step."""

    @register_to_config
    def __init__(self, num_train_timesteps: int = 100) -> None:
        self.timesteps = torch.arange(num_train_timesteps).flip(0)

    def set_timesteps(self, steps: int, device: Any = None) -> None:
        self.timesteps = torch.linspace(len(self) - 1, 0, steps)

    def step(self, prediction: Tensor, timestep: Tensor, sample: Tensor) -> StepOutput:
        return StepOutput(torch.lerp(sample, prediction, 1 / len(self.timesteps)))


@dataclass
class FramesOutput(BaseOutput):
    frames: Any


@dataclass
class AudiosOutput(BaseOutput):
    audios: Any


class Toy(DiffusionPipeline):
    """What all of them share."""

    network: Any

    def __init__(self, network: Network, scheduler: Scheduler, loud: bool = False) -> None:
        self.register_modules(network=network, scheduler=scheduler)
        self.register_to_config(loud=loud)

    def draw(
        self, told: Sequence[float], shape: tuple[int, ...], steps: int, generator: Any, **more: Any
    ) -> np.ndarray:
        """(B, *shape) in [0, 1], a row for each of `told`."""
        if not isinstance(steps, int) or steps < 1:
            raise ArgumentError(f"num_inference_steps is {steps}; give 1 or more")
        several = generator if isinstance(generator, list) else [generator] * len(told)
        if len(several) != len(told):
            raise ArgumentError(f"{len(several)} generators for {len(told)} results")
        tensors = {"latents": torch.stack([torch.randn(shape, generator=one) for one in several])}
        self.scheduler.set_timesteps(steps)
        tensors["latents"] = tensors["latents"].to(self.dtype)
        given = torch.tensor(told, dtype=self.dtype)
        for name in more.get("callback_inputs", ()):
            if name not in tensors:
                raise ArgumentError(f"there is no {name}")
        made = denoise(
            self,
            tensors,
            lambda step, timestep: self.network(tensors["latents"], given),
            timesteps=self.scheduler.timesteps,
            **more,
        )
        return np.asarray(made.float().sigmoid().numpy())


def told_by(pipe: Toy, prompt: Any, repeats: int = 1) -> list[float]:
    """A number for each text."""
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ArgumentTypeError(f"prompt is {prompt!r}; give a text")
    if repeats < 1:
        raise ArgumentError("give 1 or more repeats")
    return [told for told in pipe.encoder("network", numbers_of)(texts) for _ in range(repeats)]


def numbers_of(texts: list[str]) -> list[float]:
    return [sum(map(ord, text)) % 97 / 97 for text in texts]


def told_by_pictures(image: Any) -> list[float]:
    """A number for each picture."""
    images = image if isinstance(image, list) else [image]
    if not all(hasattr(one, "getdata") for one in images):
        raise ArgumentTypeError(f"image is {image!r}; give a picture")
    return [float(np.asarray(one).mean()) / 255 for one in images]


def pictures(made: np.ndarray, output_type: str) -> Any:
    """`made` in the form asked for."""
    import PIL.Image

    if output_type == "pil":
        return [PIL.Image.fromarray((one * 255).round().astype("uint8")) for one in made]
    if output_type == "pt":
        return torch.from_numpy(made).permute(0, 3, 1, 2)
    return made


def check_type(output_type: str) -> None:
    if output_type not in ("pil", "np", "pt"):
        raise ArgumentError(f"output_type is {output_type!r}")


class ToyUnconditional(Toy):
    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 4,
        generator: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        check_type(output_type)
        if batch_size < 1:
            raise ArgumentError("batch_size must be 1 or more")
        made = self.draw(
            [0.0] * batch_size, (4, 3, SIZE), num_inference_steps, generator,
            callback_on_step_end=callback_on_step_end,
            callback_inputs=callback_on_step_end_tensor_inputs,
        )  # fmt: skip
        images = pictures(made.transpose(0, 1, 3, 2), output_type)
        return ImagePipelineOutput(images) if return_dict else (images,)


class ToyVideo(Toy):
    @pipeline_call
    def __call__(
        self,
        prompt: Any,
        num_frames: int = 2,
        num_videos_per_prompt: int = 1,
        num_inference_steps: int = 4,
        generator: Any = None,
        output_type: str = "np",
        return_dict: bool = True,
    ) -> Any:
        check_type(output_type)
        told = told_by(self, prompt, num_videos_per_prompt)
        frames = self.draw(told, (num_frames, 4, 3, SIZE), num_inference_steps, generator)
        return FramesOutput(frames) if return_dict else (frames,)


class ToyAudio(Toy):
    @pipeline_call
    def __call__(self, prompt: Any, num_inference_steps: int = 4, generator: Any = None) -> Any:
        return AudiosOutput(
            self.draw(told_by(self, prompt), (SIZE,), num_inference_steps, generator)
        )


class ToyEdit(Toy):
    """Serves two tasks: without a prompt it enlarges."""

    @pipeline_call
    def __call__(
        self,
        image: Any,
        prompt: Any = "",
        num_inference_steps: int = 4,
        generator: Any = None,
        output_type: str = "pil",
    ) -> Any:
        check_type(output_type)
        told = told_by_pictures(image)
        texts = told_by(self, prompt)
        if len(texts) not in (1, len(told)):
            raise ArgumentError("give a prompt for each image")
        texts = texts * (len(told) // len(texts))
        both = [one + other for one, other in zip(told, texts)]
        made = self.draw(both, (4, 3, SIZE), num_inference_steps, generator)
        return ImagePipelineOutput(pictures(made.transpose(0, 1, 3, 2), output_type))


class ToyStage(Toy):
    """Serves no task: it makes what another pipeline goes on with."""

    @pipeline_call
    def __call__(self, told: float, generator: Any = None) -> Any:
        return AudiosOutput(self.draw([told], (SIZE,), 2, generator))


SERVED = {
    "ToyUnconditional": ("noise2image",),
    "ToyVideo": ("text2video",),
    "ToyAudio": ("text2audio",),
    "ToyEdit": ("enlarge", "retouch"),
}


@hookimpl
def autopipe_family() -> Family:
    return Family(
        "toys",
        tasks=TASKS,
        pipelines=(
            *(
                Pipeline(name, f"{__name__}:{name}", first, f"toys.{name}", also=tuple(also))
                for name, (first, *also) in SERVED.items()
            ),
            Pipeline("ToyStage", f"{__name__}:ToyStage"),
        ),
        components=(
            Component("ToyNetwork", f"{__name__}:ToyNetwork", library=__name__),
            Component(
                "ToyScheduler", f"{__name__}:ToyScheduler", library=__name__, kind="scheduler"
            ),
        ),
    )
