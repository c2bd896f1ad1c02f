"""The size of the images of a call, and the form that their latents have in the loop."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import logger

from ..steps.checks import check_size, check_tensor
from ..steps.text2image import check_latents
from .methods import LatentMethods

_log = logger(__name__)


class SizedLatents(LatentMethods):
    """A pipeline whose calls have a size, in pixels, in latents, and in what its network takes."""

    size_multiple: ClassVar[int | None] = 8
    """The number of pixels that height and width must be multiples of; None for the factor of the
    autoencoder."""

    rounds_size: ClassVar[bool] = False
    """Whether height and width are rounded down to the next multiple, instead of refused."""

    resizes_image: ClassVar[bool] = False
    """Whether the initial image of image to image is resized to `height` and `width` of the call,
    or `default_size`; by default the result has the size of the image."""

    ignores_partial_size: ClassVar[bool] = False
    """Whether to ignore a height without a width, and a width without a height."""

    _image_size: tuple[int, int] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Inside a call: the height and width of its images in pixels.

        Raises:
            ArgumentError: if there is no call.
        """
        if self._image_size is None:
            raise ArgumentError(
                f"the size of the images is known only inside a call of this "
                f"{type(self).__name__}; use the pipeline that a step callback receives"
            )
        return self._image_size

    @property
    def size_unit(self) -> int:
        """The number of pixels that height and width are multiples of; see `size_multiple`."""
        return self.size_multiple or self.vae_scale_factor

    def set_size(self, batch_size: int, height: int, width: int) -> None:
        """Set the size of the images of the call, in pixels.

        Raises:
            ArgumentError: if the batch is too large for this device; see `check_sample_memory`.
        """
        self._image_size = (height, width)
        self.check_image_memory(batch_size, height, width)

    def default_size(self) -> tuple[int, int]:
        """Return the default height and width in pixels: the training resolution."""
        height, width = self.trained_size()
        return height * self.vae_scale_factor, width * self.vae_scale_factor

    def resolve_size(self) -> tuple[int, int]:
        """Return height and width in pixels: the arguments of the call, or else `default_size`.

        Raises:
            ArgumentError, ArgumentTypeError: if height or width is not a positive multiple of
                `size_multiple`.
        """
        height, width = self.call.get("height"), self.call.get("width")
        if not (height and width):
            default = self.default_size()
            if self.ignores_partial_size:
                height, width = default
            height, width = height or default[0], width or default[1]
        if self.rounds_size:
            height, width = self._rounded(height, width)
        check_size(height, width, self.size_unit)
        return height, width

    def _rounded(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width rounded down to multiples of `size_unit`, but not to 0."""
        check_size(height, width, 1)
        unit = self.size_unit
        found = (max(height - height % unit, unit), max(width - width % unit, unit))
        if found != (height, width):
            _log.warning(
                "height and width are %s x %s, which become %s x %s: multiples of %s",
                height, width, *found, unit,
            )  # fmt: skip
        return found

    # The form of latents in the loop

    def pack(self, latents: Tensor) -> Tensor:
        """Return latents (B, C, h, w) in the form that the loop has; by default as they are.

        Step callbacks, the argument `latents` and the output type "latent" have that form too. A
        family that overrides it overrides `unpack`, `pack_mask` and `packed_shape` with it.
        """
        return latents

    def unpack(self, latents: Tensor) -> Tensor:
        """Return latents (B, C, h, w) from those of the loop; undoes `pack`."""
        return latents

    def pack_mask(self, mask: Tensor) -> Tensor:
        """Return a mask (B, 1, h, w) for latents of the loop; by default as it is."""
        return mask

    def packed_shape(self, batch_size: int) -> tuple[int, ...]:
        """Return the shape of the latents of the loop."""
        return self.latent_shape(batch_size, *self.image_size)

    def given_latents(self, latents: Tensor, batch_size: int) -> Tensor:
        """Return what a call got as `latents`, as the loop has them or as cells, as (B, C, h, w).

        Raises:
            ArgumentTypeError: if it is not a tensor.
            ArgumentError: if it has neither shape.
        """
        check_tensor("latents", latents)
        packed = self.packed_shape(batch_size)
        if latents.ndim == len(packed):
            check_latents(latents, packed)
            return self.unpack(latents)
        check_latents(latents, self.latent_shape(batch_size, *self.image_size))
        return latents
