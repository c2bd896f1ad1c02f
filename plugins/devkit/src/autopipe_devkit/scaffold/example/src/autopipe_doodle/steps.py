"""What the tasks of the family share: its components, the checks, the prompt, the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import torch
from autopipe import DiffusionPipeline, ImagePipelineOutput
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.loop import StepCallback, denoise
from autopipe.utils import pt_to_pil
from torch import Tensor

Prompt: TypeAlias = "str | list[str]"
Generators: TypeAlias = "torch.Generator | list[torch.Generator] | None"
Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"


@dataclass(frozen=True)
class Call:
    """The arguments that every task takes, under the names that all families use."""

    prompt: Prompt
    negative_prompt: Prompt | None
    num_inference_steps: int
    guidance_scale: float
    num_images_per_prompt: int
    generator: Generators
    output_type: str
    return_dict: bool
    callback_on_step_end: StepCallback | None
    callback_on_step_end_tensor_inputs: Sequence[str]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Call:
        """Those of the record of a call, `self.call`."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    @property
    def prompts(self) -> list[str]:
        """One text for each picture."""
        return self._for_each_picture(self.prompt)

    @property
    def negatives(self) -> list[str]:
        """One text for each picture, empty where nothing is to be kept away from."""
        return self._for_each_picture(self.negative_prompt or "")

    def _for_each_picture(self, given: Prompt) -> list[str]:
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        texts = [given] * len(prompts) if isinstance(given, str) else given
        return [text for text in texts for _ in range(self.num_images_per_prompt)]

    def check(self) -> None:
        """Refuse what can't work, before any work.

        Raises:
            ArgumentTypeError, ArgumentError: an argument can't be used.
        """
        for name, given in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt)):
            texts = given if isinstance(given, list) else [given]
            if given is None and name == "negative_prompt":
                continue
            if not texts or not all(isinstance(text, str) for text in texts):
                raise ArgumentTypeError(f"{name} is {given!r}; give a text or a list of texts")
        for name in ("num_inference_steps", "num_images_per_prompt"):
            count = getattr(self, name)
            if not isinstance(count, int) or count < 1:
                raise ArgumentError(f"{name} is {count!r}; give a whole number from 1")
        if len(self.negatives) != len(self.prompts):
            raise ArgumentError("give one negative_prompt, or as many as there are prompts")
        if isinstance(self.generator, list) and len(self.generator) != len(self.prompts):
            raise ArgumentError(
                f"there are {len(self.generator)} generators for {len(self.prompts)} pictures"
            )
        if self.output_type not in ("pil", "np", "pt"):
            raise ArgumentError(f"output_type is {self.output_type!r}; give 'pil', 'np' or 'pt'")
        for name in self.callback_on_step_end_tensor_inputs:
            if name != "latents":
                raise ArgumentError(f"a step callback gets 'latents', and there is no {name!r}")


class DoodleSteps(DiffusionPipeline):
    """The components of the family, and the steps that every task takes."""

    network: Any

    def __init__(self, network: Network, scheduler: Scheduler) -> None:
        self.register_modules(network=network, scheduler=scheduler)

    def _noise(self, call: Call, height: int, width: int) -> Tensor:
        """(B, 3, H, W), each picture from its own generator if there is a list."""
        shape = (len(call.prompts), 3, height, width)
        if isinstance(call.generator, list):
            parts = [torch.randn((1, *shape[1:]), generator=one) for one in call.generator]
            noise = torch.cat(parts)
        else:
            noise = torch.randn(shape, generator=call.generator)
        return noise.to(self._execution_device, self.dtype)

    def _denoise(
        self,
        call: Call,
        latents: Tensor,
        timesteps: Tensor,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The pictures at the end of `timesteps`, (B, 3, H, W) in [-1, 1]."""
        tensors = {"latents": latents}
        guided = call.guidance_scale > 1
        texts = [*call.negatives, *call.prompts] if guided else call.prompts
        # By way of `encoder`, so that add-ons for prompts can change what is encoded.
        told = self.encoder("network", self.network.encode)(texts)

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = torch.cat([tensors["latents"]] * (2 if guided else 1))
            time = self.scheduler.time(timestep).to(sample).expand(len(sample))
            velocity: Tensor = self.network(sample, time, told)
            if guided:
                without, towards = velocity.chunk(2)
                velocity = torch.lerp(without, towards, call.guidance_scale)
            return velocity

        return denoise(
            self,
            tensors,
            predict,
            timesteps=timesteps,
            keep=keep,
            callback_on_step_end=call.callback_on_step_end,
            callback_inputs=call.callback_on_step_end_tensor_inputs,
        )

    def _returned(self, call: Call, pictures: Tensor) -> Result:
        """The pictures in the form asked for."""
        images: Any
        if call.output_type == "pil":
            images = pt_to_pil(pictures)
        else:
            images = (pictures / 2 + 0.5).clamp(0, 1).float()
            if call.output_type == "np":
                images = images.cpu().permute(0, 2, 3, 1).numpy()
        return ImagePipelineOutput(images) if call.return_dict else (images,)
