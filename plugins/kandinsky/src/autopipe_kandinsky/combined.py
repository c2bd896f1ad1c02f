"""A prior and a decoder as one pipeline: text in, images out."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch

from autopipe.pipeline.base import DiffusionPipeline
from autopipe_components.steps.checks import (
    batch_size_of,
    check_components,
    check_images_per_prompt,
    check_text,
)

from .decoder import Result

PRIOR = "prior_"
"""The prefix of the prior's components and arguments."""

_OF_PRIOR = ("prompt", "negative_prompt", "num_images_per_prompt")
"""The prior's arguments without this prefix."""

_Stage = TypeVar("_Stage", bound=DiffusionPipeline)


class CombinedPipeline(DiffusionPipeline):
    """A decoder and its prior as one pipeline, with the prior's components as `prior_...`.

    A subclass names both classes. Arguments of its call that begin with `prior_`, and the prompts,
    go to the prior; the others go to the decoder.
    """

    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("prior_prior",)
    model_cpu_offload_extra: ClassVar[tuple[str, ...]] = ("prior_prior",)
    prior_class: ClassVar[type[DiffusionPipeline]]
    decoder_class: ClassVar[type[DiffusionPipeline]]

    @classmethod
    def stage_classes(cls) -> tuple[type[DiffusionPipeline], ...]:
        """Return the classes of the pipelines that a call runs."""
        return cls.prior_class, cls.decoder_class

    @property
    def prior_pipe(self) -> Any:
        """The prior as a pipeline with the current components.

        It is created on each access, so assignments to its attributes have no effect here: to
        change its scheduler, for example, assign to `prior_scheduler`.
        """
        return self._stage(self.prior_class, PRIOR)

    @property
    def decoder_pipe(self) -> Any:
        """The decoder as a pipeline with the current components; see `prior_pipe`."""
        return self._stage(self.decoder_class, "")

    def _stage(self, cls: type[_Stage], prefix: str) -> _Stage:
        components = self.components
        stage = cls(**{name: components[prefix + name] for name in cls.module_names()})
        stage.become_stage_of(self)
        return stage

    def run_task(self) -> Result:
        """Run the body of every call."""
        # 1. Check the decoder's arguments; the prior checks the others
        self._check_decoder()

        # 2. Turn the text into embeddings
        image_embeds, negative_image_embeds = self.prior_pipe(**self._prior_arguments())

        # 3. Generate images from them
        result: Result = self.decoder_pipe(
            image_embeds=image_embeds,
            negative_image_embeds=negative_image_embeds,
            **self.decoder_arguments(len(image_embeds)),
        )
        return result

    # Steps, in order

    def _check_decoder(self) -> None:
        """Check the decoder's arguments before the prior runs.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
        """
        call = self.call
        check_text("prompt", call.prompt)
        check_images_per_prompt(call.num_images_per_prompt)
        decoder = self.decoder_pipe
        check_components(decoder, decoder.required_components)
        prompts = 1 if call.prompt is None else batch_size_of(call.prompt, None)
        unknown = torch.empty(1, decoder.image_embedding_dim)
        unknown = unknown.expand(prompts * call.num_images_per_prompt, -1)
        decoder.call = call.replace(
            image_embeds=unknown, negative_image_embeds=unknown, num_images_per_prompt=1
        )
        decoder.prepare_start(decoder._begin_embeds())
        decoder.check_callbacks()

    def _prior_arguments(self) -> dict[str, Any]:
        """Return the prior's arguments of the call; both stages use the same generators."""
        call = self.call
        own = {n.removeprefix(PRIOR): v for n, v in call.items() if n.startswith(PRIOR)}
        shared = {name: call[name] for name in (*_OF_PRIOR, "generator")}
        added = {name: value for name, value in self.added_arguments.items() if name != "adapters"}
        return {**own, **shared, **added, "return_dict": False}

    def decoder_arguments(self, rows: int) -> dict[str, Any]:
        """Return the decoder's arguments of the call, for `rows` embeddings, one for each image."""
        return {
            name: value
            for name, value in self.call.items()
            if not name.startswith(PRIOR) and name not in _OF_PRIOR
        }
