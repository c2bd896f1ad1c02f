"""The images that the image encoder of a pipeline sees."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..images.encoder_input import encoder_input
from ..images.kinds import ImageInput, kind_of
from .checks import check_components


def seen_pixels(pipe: Any, image: ImageInput, name: str = "image") -> Tensor:
    """Return images as the input (N, 3, H, W) of `pipe.image_encoder`.

    Args:
        image: as for `encoder_input`; the feature extractor converts all but tensors.
        name: that of the argument, for messages.

    Raises:
        ArgumentError: if a component that this needs is None, or a shape or a value is not valid.
        ArgumentTypeError: if `image` is something else than images.
    """
    is_seen = kind_of(image, name) == "pt"
    check_components(pipe, ("image_encoder", *(() if is_seen else ("feature_extractor",))))
    side: int = pipe.image_encoder.config.image_size
    return encoder_input(image, pipe.feature_extractor, side, name)
