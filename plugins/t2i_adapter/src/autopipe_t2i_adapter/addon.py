"""The add-on: features of a picture for the down blocks of a U-Net, in any task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment, Predict
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.tasks import Input
from autopipe.wording import shown
from autopipe_components.latent import LatentPipeline
from autopipe_components.steps.codec import in_dtype_of
from autopipe_components.steps.given import check_images_given

from .fit import check_fits
from .hints import check_factor, check_scales, images_for, nets_of, pixels_of
from .inputs import ADAPTER_FACTOR, ADAPTER_IMAGE, ADAPTER_SCALE
from .multiadapter import MultiAdapter
from .t2iadapter import T2IAdapter

_Self = TypeVar("_Self", bound="T2IAdapters")
_OwnSelf = TypeVar("_OwnSelf", bound="OwnAdapters")

_RESIDUALS = "down_intrablock_additional_residuals"

Source: TypeAlias = "str | Path | T2IAdapter"


class T2IAdapters(Attachment):
    """Lets a U-Net follow a picture by one or several T2I-Adapters (arXiv:2302.08453).

    It works in all tasks of Stable Diffusion and SDXL, and beside a ControlNet. The strength is a
    factor of all features; calls take `adapter_image`, `adapter_conditioning_scale` and
    `adapter_conditioning_factor`.

    Args:
        source: a `T2IAdapter`, or its folder or repository; or a list of them for several at once,
            or a `MultiAdapter`.
        **options: the keywords of loading, such as `revision` and `subfolder`.

    Raises:
        CheckpointError: if there is no such adapter.
        ArgumentTypeError: if `source` is something else.
    """

    name = "t2i_adapter"
    inputs: ClassVar[tuple[Input, ...]] = (ADAPTER_IMAGE, ADAPTER_SCALE, ADAPTER_FACTOR)

    def __init__(self, source: Source | list[Source] | MultiAdapter, **options: Any) -> None:
        self.weights: nn.Module | None = joined(source, **options)

    def adapter_of(self, pipe: Any) -> Any:
        """Return the network or networks."""
        return self.weights

    def check(self, pipe: Any) -> None:
        """Check that the pipeline can have these adapters.

        Raises:
            ArgumentError: if they were trained for another U-Net, or it already has adapters.
        """
        if not isinstance(pipe, LatentPipeline):
            raise ArgumentError(
                f"a T2I-Adapter needs a pipeline that denoises latents with a U-Net, such as those "
                f"of Stable Diffusion and SDXL, not a {type(pipe).__name__}"
            )
        check_fits(self.adapter_of(pipe), pipe.components.get("unet"), pipe.vae_scale_factor)
        others = [name for name, one in pipe.attached(T2IAdapters).items() if one is not self]
        if others:
            raise ArgumentError(
                f"this pipeline has T2I-Adapters already, attached as {shown(others[0])}; detach "
                f"it, or give several at once by a list"
            )

    def of_call(self: _Self, run: Any) -> _Self:
        """Check the arguments of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if there is no picture, or an argument doesn't fit.
        """
        if run.call.get("adapter_image") is None:
            raise ArgumentError(
                "a T2I-Adapter is attached, but no picture for it is given: give adapter_image, or "
                "deactivate the adapter by set_attachments or adapters="
            )
        check_arguments(self.adapter_of(run), run.call)
        return self

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """Compute the features once, and hand them to the U-Net in the steps that have them."""
        features = self._features(run, tensors["latents"], strength)
        factor = _or_one(run.call.get("adapter_conditioning_factor"))
        made: dict[int, list[Tensor]] = {}

        def steer(
            step: int, sample: Tensor, timestep: Tensor, inputs: Mapping[str, Any]
        ) -> dict[str, Any]:
            if step >= int(run.num_timesteps * factor):
                return {}
            rows = len(sample)
            if rows not in made:
                made[rows] = [torch.cat([one] * (rows // len(one))) for one in features]
            return {_RESIDUALS: made[rows]}

        run.steerings = (*run.steerings, steer)
        return predict

    def _features(self, run: Any, latents: Tensor, strength: float) -> list[Tensor]:
        """Return the features for each image of the batch, (B, C, h, w)."""
        adapter, call = self.adapter_of(run), run.call
        nets = nets_of(adapter)
        images = images_for(adapter, call.get("adapter_image"))
        given = _or_one(call.get("adapter_conditioning_scale"))
        scales = [strength * one for one in check_scales(adapter, given)]
        size = [_filled(cells * run.vae_scale_factor, adapter) for cells in latents.shape[-2:]]
        pixels = [
            pixels_of(net, image, (size[0], size[1])).to(latents.device, net.dtype)
            for net, image in zip(nets, images)
        ]
        if len(nets) > 1:
            features = adapter([_spread(one, len(latents)) for one in pixels], scales)
        else:
            features = [scales[0] * one for one in adapter(pixels[0])]
        return [_spread(one, len(latents)) for one in in_dtype_of(run.unet, features)]


class OwnAdapters(T2IAdapters):
    """The add-on of a pipeline that has the adapter as its component, and checks the arguments."""

    inputs: ClassVar[tuple[Input, ...]] = ()

    def __init__(self) -> None:
        self.weights = None

    def adapter_of(self, pipe: Any) -> Any:
        """Return the component."""
        return pipe.adapter

    def of_call(self: _OwnSelf, run: Any) -> _OwnSelf:
        """Return this add-on; the steps of the call check its arguments."""
        return self


def joined(source: Any, **options: Any) -> Any:
    """Return an adapter, or a `MultiAdapter` for a list of several.

    Raises:
        ArgumentTypeError: if it is neither an adapter nor the place of one.
    """
    if isinstance(source, (list, tuple)):
        parts = [joined(one, **options) for one in source]
        return parts[0] if len(parts) == 1 else MultiAdapter(parts)
    if isinstance(source, (str, Path)):
        return T2IAdapter.from_pretrained(source, **options)
    if not isinstance(source, (T2IAdapter, MultiAdapter)) or options:
        raise ArgumentTypeError(
            f"an adapter is a T2IAdapter, its folder or repository, a list of them, or a "
            f"MultiAdapter; got {shown(source)}{' with keywords of loading' if options else ''}"
        )
    return source


def _or_one(value: Any) -> Any:
    return 1.0 if value is None else value


def check_arguments(adapter: Any, call: Mapping[str, Any]) -> None:
    """Check the picture, the scales and the part of the steps that a call gives.

    Raises:
        ArgumentError, ArgumentTypeError: if one of them doesn't fit `adapter`.
    """
    prompts = call.get("prompt"), call.get("prompt_embeds")
    for image in images_for(adapter, call.get("adapter_image")):
        check_images_given(ADAPTER_IMAGE.name, image, *prompts)
    check_scales(adapter, _or_one(call.get("adapter_conditioning_scale")))
    check_factor(_or_one(call.get("adapter_conditioning_factor")))


def _filled(pixels: int, adapter: Any) -> int:
    """Return `pixels`, rounded up to what the adapter divides: it pads as the U-Net does."""
    factor: int = adapter.downscale_factor
    return -(-pixels // factor) * factor


def _spread(rows: Tensor, count: int) -> Tensor:
    """Repeat each row (N, ...) for the images of its prompt, to (count, ...)."""
    return rows if len(rows) == count else rows.repeat_interleave(count // len(rows), dim=0)
