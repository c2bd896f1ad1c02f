"""The condition: what an adapter adds to the text to image of a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from autopipe.attaching.attachment import Attachment
from autopipe.errors import ArgumentError
from autopipe_components.images.fit import size_of
from autopipe_components.images.kinds import as_list
from autopipe_components.latent import LatentPipeline
from autopipe_components.steps.checks import check_components, check_image

from .addon import OwnAdapters, check_arguments, joined
from .fit import check_fits
from .inputs import ADAPTER_IMAGE

_Result = TypeVar("_Result")


class AdapterCondition(LatentPipeline[_Result]):
    """A mix-in that comes before a family's pipeline in the bases of a class and adds adapters.

    The adapter is a component. The rest is the add-on `T2IAdapters`, which every pipeline of such a
    class has; this class gives it the picture, which also determines the size.
    """

    own_attachments: ClassVar[Mapping[str, Callable[[Any], Attachment]]] = MappingProxyType(
        {"t2i_adapter": lambda pipe: OwnAdapters()}
    )

    adapter: Any

    def _take_adapter(self, adapter: Any) -> None:
        """Register `adapter`, of which a list becomes a `MultiAdapter`."""
        adapter = adapter if adapter is None else joined(adapter)
        self.register_modules(adapter=adapter)
        if None not in (self.unet, self.vae, adapter):
            check_fits(adapter, self.unet, self.vae_scale_factor)

    def begin_call(self) -> int:
        check_components(self, (*self.required_components, "adapter"))
        call = self.call
        if call.image is not None and call.adapter_image is not None:
            raise ArgumentError(
                "got both image and adapter_image; in text to image they are one, so give one of "
                "them"
            )
        image = call.adapter_image if call.image is None else call.image
        check_image(image, ADAPTER_IMAGE.name)
        call = call.replace(adapter_image=image)
        check_fits(self.adapter, self.unet, self.vae_scale_factor)
        check_arguments(self.adapter, call)
        height, width = self._size_of(image)
        self.call = call.replace(
            height=height if call.height is None else call.height,
            width=width if call.width is None else call.width,
        )
        return super().begin_call()

    def _size_of(self, image: Any) -> tuple[int, int]:
        """Return the height and width of the first picture, rounded down to the adapter's factor.

        Raises:
            ArgumentError: if a side is smaller.
        """
        first = as_list(image)[0]
        first = as_list(first)[0]
        height, width = size_of(first if not hasattr(first, "ndim") else _batch(first))
        factor = self.adapter.downscale_factor
        if min(height, width) < factor:
            raise ArgumentError(
                f"{ADAPTER_IMAGE.name} has {height} x {width} pixels (height, width); each side "
                f"must have at least {factor}, or give height and width"
            )
        return height - height % factor, width - width % factor


def _batch(image: Any) -> Any:
    """Return an array or tensor with an axis for the images, as `size_of` takes it."""
    return image if image.ndim == 4 else image[None]
