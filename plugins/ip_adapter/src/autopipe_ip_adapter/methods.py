"""The methods of diffusers for image prompts, which all pipelines have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError

from .addon import IPAdapter, Source
from .encoding import check_encoder, embeds_for


def load_ip_adapter(
    self: Any,
    pretrained_model_name_or_path_or_dict: Source | Sequence[Source],
    subfolder: str | Sequence[str] | None = None,
    weight_name: str | Sequence[str] | None = None,
    image_encoder_folder: str | None = "image_encoder",
    **kwargs: Any,
) -> None:
    """Load one or several IP-Adapters, in place of those that the pipeline has.

    It is `attach("ip_adapter", ...)`, so all pipelines that share the weights can use them; the
    scale belongs to this pipeline. A pipeline without an image encoder gets the one beside the
    file.

    Args:
        pretrained_model_name_or_path_or_dict: a file, a folder, a repository or a state dict; or a
            list of them.
        subfolder, weight_name: the folder in a repository or folder, and the file; or a list.
        image_encoder_folder: the folder with the image encoder, relative to `subfolder`, or with a
            `/` in it to the repository. None loads none: give `ip_adapter_image_embeds` in calls.
        **kwargs: the keywords of loading, such as `revision` and `token`.

    Raises:
        CheckpointError: if there is no such file or encoder.
        WeightsMismatchError: if a file is not an IP-Adapter of a supported kind.
        ArgumentError: if it was trained for another base model. The pipeline then keeps those that
            it has.
    """
    made = IPAdapter(
        pretrained_model_name_or_path_or_dict,
        subfolder,
        weight_name,
        image_encoder_folder,
        **kwargs,
    )
    replaced = self.attached(IPAdapter)
    made.check_fits(self)
    before = dict(self.attachments)
    for name in replaced:
        self.detach(name)
    try:
        self.attach(made)
    except BaseException:
        for name, one in replaced.items():
            self.attach(one, name=name)
        self.set_attachments({n: s for n, s in before.items() if n in self.attachments})
        raise


def set_ip_adapter_scale(self: Any, scale: Any) -> None:
    """Set how closely pictures follow image prompts, in this pipeline; 1 after loading.

    Args:
        scale: a scale for all adapters, or a list with one for each: a number, a list with a number
            for each masked image, or a dict by block, such as
            `{"up": {"block_0": [0.0, 1.0, 0.0]}}`, which leaves out all other blocks. 0 deactivates
            them.

    Raises:
        ArgumentError: if there is no IP-Adapter, or the scale doesn't fit.
    """
    name, _ = _attached(self)
    self.set_attachments({**self.attachments, name: scale})


def unload_ip_adapter(self: Any) -> None:
    """Remove the IP-Adapters, and the components that came with them.

    Without any, nothing happens.
    """
    for name in self.attached(IPAdapter):
        self.detach(name)


def prepare_ip_adapter_image_embeds(
    self: Any,
    ip_adapter_image: Any,
    ip_adapter_image_embeds: Sequence[Tensor] | None,
    device: torch.device | str | None,
    num_images_per_prompt: int,
    do_classifier_free_guidance: bool,
) -> list[Tensor]:
    """Return encoded images, a tensor (B or 2B, images, ...) for each adapter.

    An editor, whose steps under guidance have three parts, gets as many, (3B, ...). Calls take them
    as `ip_adapter_image_embeds`, and the U-Net takes them as
    `added_cond_kwargs={"image_embeds": ...}`.

    Args:
        ip_adapter_image: the image of the adapter; a list with an entry for each of several.
        ip_adapter_image_embeds: the result of an earlier call, in place of images.
        device: the device of the result; None means that of the pipeline.
        num_images_per_prompt: the number of repetitions.
        do_classifier_free_guidance: whether the negative half comes first.

    Raises:
        ArgumentError: if there is no IP-Adapter or image encoder, or the images don't fit.
    """
    _, addon = _attached(self)
    if ip_adapter_image_embeds is None:
        check_encoder(self, addon.adapters)
    made = embeds_for(
        self,
        addon.adapters,
        ip_adapter_image,
        ip_adapter_image_embeds,
        device=self.device if device is None else device,
        guided=do_classifier_free_guidance,
        repeats=num_images_per_prompt,
    )
    if not do_classifier_free_guidance:
        return made
    parts: list[Tensor] = [self.for_parts(one, len(one) // 2) for one in made]
    return parts


def _attached(pipe: Any) -> tuple[str, IPAdapter]:
    """Return the add-on of a pipeline, with its name.

    Raises:
        ArgumentError: if there is none.
    """
    for name, addon in pipe.attached(IPAdapter).items():
        return name, addon
    raise ArgumentError(
        f"this {type(pipe).__name__} has no IP-Adapter; load one by load_ip_adapter(SOURCE)"
    )
