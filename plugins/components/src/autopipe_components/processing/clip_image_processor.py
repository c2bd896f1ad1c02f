"""The image processor of CLIP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from autopipe.errors import ArgumentError, check_names
from autopipe.json_files import read_json_object
from autopipe.kinds import BaseProcessor
from autopipe.wording import shown

from .batch import Batch
from .pixels import Pixels, centre, padded, pixels_of, resized

CONFIG = "preprocessor_config.json"

_FORMER = ("feature_extractor_type", "image_processor_type", "processor_class")
"""Entries that name a class, not what it does."""

_NEEDS = {
    "do_resize": ("size", "resample"),
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
}
"""What each step needs."""

Size: TypeAlias = int | Sequence[int] | Mapping[str, int]
"""A side in pixels, `[height, width]`, or both by name; `{"shortest_edge": 224}` for one side."""


@dataclass(repr=False)
class CLIPImageProcessor(BaseProcessor):
    """Resizes, crops and normalizes images for a CLIP image encoder.

    Every step can be changed here, or by the keywords of a call. A config may have null for a step
    that is off, and for what it would need.

    Attributes:
        do_convert_rgb: convert to three channels, on white where an image is transparent.
        do_resize, size, resample: resize to `size`, by the filter of PIL with this number.
        default_to_square: whether a number as `size` means both sides, not the shortest one.
        do_center_crop, crop_size: cut the middle out, or surround it with zeros.
        do_rescale, rescale_factor: multiply by this factor, by default from [0, 255] to [0, 1].
        do_normalize, image_mean, image_std: subtract this mean and divide by this deviation, by
            channel.
        do_pad, pad_size: add zeros at the right and the bottom, by default up to the largest image.
        others: further entries of its config, which it doesn't use.
    """

    do_convert_rgb: bool | None = True
    do_resize: bool | None = True
    size: Size | None = 224
    resample: int = 3
    default_to_square: bool | None = None
    do_center_crop: bool | None = True
    crop_size: Size | None = 224
    do_rescale: bool | None = True
    rescale_factor: float = 1 / 255
    do_normalize: bool | None = True
    image_mean: float | Sequence[float] | None = (0.48145466, 0.4578275, 0.40821073)
    image_std: float | Sequence[float] | None = (0.26862954, 0.26130258, 0.27577711)
    do_pad: bool | None = None
    pad_size: Size | None = None
    others: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = _sides(self.size, square=bool(self.default_to_square))
        self.crop_size = _sides(self.crop_size)
        self.pad_size = _sides(self.pad_size)
        for name in ("image_mean", "image_std"):
            value = getattr(self, name)
            setattr(self, name, tuple(value) if isinstance(value, list) else value)

    @classmethod
    def from_dict(cls, image_processor_dict: Mapping[str, Any]) -> CLIPImageProcessor:
        """Make an image processor from the entries of a config."""
        names = _names()
        known = {n: v for n, v in image_processor_dict.items() if n in names}
        others = {
            name: value
            for name, value in image_processor_dict.items()
            if name not in names and name not in _FORMER
        }
        return cls(**known, others=others)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, subfolder: str = "") -> CLIPImageProcessor:
        """Load the image processor in a local folder.

        Raises:
            ConfigError: if there is no config, or it can't be read.
        """
        return cls.from_dict(read_json_object(Path(folder, subfolder, CONFIG)))

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of the config."""
        defaults = {one.name: one.default for one in dataclasses.fields(self)}
        own = {name: getattr(self, name) for name in _names()}
        entries = {n: v for n, v in own.items() if (v, defaults[n]) != (None, None)}
        return {**self.others, **entries, "image_processor_type": "CLIPImageProcessor"}

    def to_json_string(self) -> str:
        """Return the content of the config file."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | Path) -> list[str]:
        """Write `preprocessor_config.json`, and return its path."""
        file = Path(save_directory, CONFIG)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.to_json_string(), encoding="utf-8")
        return [str(file)]

    def to_transformers(self) -> Any:
        """Return the image processor of transformers with the settings of this one."""
        from transformers import CLIPImageProcessor as Theirs

        return Theirs.from_dict(self.to_dict())

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __call__(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> Batch:
        """Return `pixel_values` (N, 3, H, W) of images; see `preprocess`."""
        return self.preprocess(images, return_tensors, **kwargs)

    def preprocess(
        self,
        images: Any,
        return_tensors: str | None = None,
        *,
        input_data_format: str | None = None,
        **kwargs: Any,
    ) -> Batch:
        """Return `pixel_values` (N, 3, H, W) of images.

        Args:
            images: a PIL image; an array or tensor (3, H, W), (H, W, 3), or with a further axis in
                front; or a list of such. Pixels are in [0, 255], or in [0, 1] with
                `do_rescale=False`.
            return_tensors: `"pt"` for a tensor, `"np"` for an array, None for a list of arrays.
            input_data_format: `"channels_first"` or `"channels_last"`, where it isn't obvious.
            kwargs: any attributes of this class, for this call.

        Raises:
            ArgumentTypeError: if these are not images, or there is no such attribute.
            ArgumentError: if an image has another number of channels or values.
        """
        check_names(kwargs, _names(), f"{type(self).__name__} has no setting")
        settings = dataclasses.replace(self, **kwargs) if kwargs else self
        settings._check()
        made = [
            settings._processed(pixels)
            for pixels in pixels_of(images, bool(settings.do_convert_rgb), input_data_format)
        ]
        if settings.do_pad:
            made = padded(made, settings._size("pad_size") if settings.pad_size else None)
        return Batch({"pixel_values": made}, return_tensors=return_tensors)

    def _processed(self, pixels: Pixels) -> Pixels:
        """Return the pixels (C, H, W) of one image as the network takes them."""
        if self.do_resize:
            pixels = resized(pixels, self._size("size"), Image.Resampling(self.resample))
        if self.do_center_crop:
            pixels = centre(pixels, self._size("crop_size"))
        if self.do_rescale:
            pixels = (pixels * np.float64(self.rescale_factor)).astype(np.float32)
        if self.do_normalize:
            if pixels.dtype.kind != "f":
                pixels = pixels.astype(np.float32)
            mean, std = (self._by_channel(name, pixels) for name in ("image_mean", "image_std"))
            pixels = (pixels - mean) / std
        return pixels

    def _check(self) -> None:
        """Raise `ArgumentError` if a step lacks what it needs."""
        for step, names in _NEEDS.items():
            for name in names:
                if getattr(self, step) and getattr(self, name) is None:
                    raise ArgumentError(f"{step} is on, but {name} is None; give one of them")

    def _size(self, name: str) -> Mapping[str, int]:
        found: Mapping[str, int] = getattr(self, name)
        return found

    def _by_channel(self, name: str, pixels: Pixels) -> Pixels:
        values = np.array(getattr(self, name), dtype=pixels.dtype).reshape(-1, 1, 1)
        if len(values) not in (1, len(pixels)):
            raise ArgumentError(
                f"{name} has {len(values)} values, but an image has {len(pixels)} channels"
            )
        return values


def _names() -> list[str]:
    """Return the names of all settings."""
    return [one.name for one in dataclasses.fields(CLIPImageProcessor) if one.name != "others"]


def _sides(size: Size | None, square: bool = True) -> dict[str, int] | None:
    """Return a size by names."""
    if size is None or isinstance(size, Mapping):
        return None if size is None else dict(size)
    if isinstance(size, int):
        return {"height": size, "width": size} if square else {"shortest_edge": size}
    if len(size) != 2:
        raise ArgumentError(f"a size is a number, [height, width], or an object, not {shown(size)}")
    return {"height": size[0], "width": size[1]}
