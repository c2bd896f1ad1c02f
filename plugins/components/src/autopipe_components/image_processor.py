"""Provides `VaeImageProcessor`, which converts images to tensors for a codec, and back."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from autopipe.config import ConfigMixin, register_to_config
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.utils import eight_bits, in_mode, numpy_to_pil
from autopipe.wording import shown

from .images import arrays, masks
from .images.fit import resize_array, resize_pil, resize_tensor, size_of
from .images.kinds import ImageInput, as_list, check_output_type, kind_of
from .images.masks import Box


class VaeImageProcessor(ConfigMixin):
    """Resizes, converts and scales images before and after a model.

    Args:
        do_resize: resize images to multiples of `vae_scale_factor`, or to a given size.
        vae_scale_factor: pixels per latent cell.
        vae_latent_channels: tensors with this number of channels are latents and stay unchanged;
            0 means that no tensor is latents.
        resample: the filter for PIL images: lanczos, bicubic, bilinear (linear) or nearest. Arrays
            and tensors are resized by nearest neighbour.
        reducing_gap: the option of PIL that speeds up large reductions; None is exact.
        do_normalize: scale from [0, 1] to [-1, 1] before the model, and back after it.
        do_binarize: round each value to 0 or 1.
        do_convert_rgb: convert PIL images to RGB, and arrays unless `vae_latent_channels` is 0.
        do_convert_grayscale: convert PIL images and arrays to grey. Without a conversion, an image
            with transparency has four channels.

    Raises:
        ArgumentError: if `do_convert_rgb` and `do_convert_grayscale` are both set.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        do_resize: bool = True,
        vae_scale_factor: int = 8,
        vae_latent_channels: int = 4,
        resample: str = "lanczos",
        reducing_gap: int | None = None,
        do_normalize: bool = True,
        do_binarize: bool = False,
        do_convert_rgb: bool = False,
        do_convert_grayscale: bool = False,
    ) -> None:
        if do_convert_rgb and do_convert_grayscale:
            raise ArgumentError(
                "do_convert_rgb and do_convert_grayscale are both set; set one of them"
            )

    numpy_to_pil = staticmethod(numpy_to_pil)
    pil_to_numpy = staticmethod(arrays.pil_to_numpy)
    numpy_to_pt = staticmethod(arrays.numpy_to_pt)
    pt_to_numpy = staticmethod(arrays.pt_to_numpy)
    normalize = staticmethod(arrays.normalize)
    denormalize = staticmethod(arrays.denormalize)
    binarize = staticmethod(masks.binarize)
    get_crop_region = staticmethod(masks.crop_region)

    @staticmethod
    def convert_to_rgb(image: Image.Image) -> Image.Image:
        """Return `image` in mode RGB."""
        return in_mode(image, "RGB")

    @staticmethod
    def convert_to_grayscale(image: Image.Image) -> Image.Image:
        """Return `image` in mode L."""
        return in_mode(image, "L")

    @staticmethod
    def blur(image: Image.Image, blur_factor: int = 4) -> Image.Image:
        """Return `image` with a Gaussian blur whose radius is `blur_factor` pixels."""
        return image.filter(ImageFilter.GaussianBlur(blur_factor))

    def get_default_height_width(
        self,
        image: Image.Image | np.ndarray | Tensor,
        height: int | None = None,
        width: int | None = None,
    ) -> tuple[int, int]:
        """Return height and width, by default of `image`, rounded down to the scale factor.

        Raises:
            ArgumentError: if a side is smaller than the scale factor.
        """
        if height is None or width is None:
            own = size_of(image)
            height = own[0] if height is None else height
            width = own[1] if width is None else width
        factor = self.config.vae_scale_factor
        if min(height, width) < factor:
            raise ArgumentError(
                f"an image of {height} x {width} (height, width) is too small: each side must "
                f"have at least {factor} pixels"
            )
        return height - height % factor, width - width % factor

    def resize(
        self,
        image: Image.Image | np.ndarray | Tensor,
        height: int,
        width: int,
        resize_mode: str = "default",
    ) -> Any:
        """Return `image` resized to `height` x `width`, of the same kind.

        Args:
            image: PIL, an array (N, H, W[, C]) or a tensor (N, C, H, W).
            resize_mode: `"default"` stretches the image. For PIL images, `"fill"` and `"crop"` keep
                the proportions: `"fill"` repeats the edges into the margins, and `"crop"` crops.

        Raises:
            ArgumentTypeError: if `image` is not an image, or is not a PIL image although
                `resize_mode` needs one.
            ArgumentError: if `resize_mode` is unknown.
        """
        if isinstance(image, Image.Image):
            return resize_pil(
                image,
                height,
                width,
                mode=resize_mode,
                resample=self.config.resample,
                reducing_gap=self.config.reducing_gap,
            )
        if resize_mode != "default":
            raise ArgumentTypeError(
                f"resize_mode {shown(resize_mode)} is for PIL images, not for a "
                f"{type(image).__name__}"
            )
        size_of(image)
        if isinstance(image, torch.Tensor):
            return resize_tensor(image, height, width)
        return resize_array(image, height, width)

    def preprocess(
        self,
        image: ImageInput,
        height: int | None = None,
        width: int | None = None,
        resize_mode: str = "default",
        crops_coords: Box | None = None,
    ) -> Tensor:
        """Convert images to a tensor (N, C, H, W), in [-1, 1] or [0, 1] depending on the config.

        A tensor with the number of channels of latents is returned unchanged. Images with negative
        values are assumed to be in [-1, 1] already.

        Args:
            image: a PIL image; an array (H, W, C) or (N, H, W, C) or a tensor (C, H, W) or
                (N, C, H, W) in [0, 1], also without the channel axis; or a list of one kind.
                Masks may also be integers with 8 or 16 bits.
            height, width: rounded down to the scale factor; by default those of the first image.
            resize_mode: as in `resize`, for PIL images.
            crops_coords: left, top, right, bottom of the region to crop PIL images to first.

        Raises:
            ArgumentTypeError: if `image` is not an image, or it is not a PIL image and
                `crops_coords` or `resize_mode` is given.
            ArgumentError: if the shape or the values of `image` are not those of images.
        """
        kind = kind_of(image)
        items = as_list(image)
        if kind != "pil" and (resize_mode != "default" or crops_coords is not None):
            raise ArgumentTypeError(
                f"crops and resize_mode {shown(resize_mode)} are for PIL images, "
                f"not for a {type(items[0]).__name__}"
            )
        pixels: Tensor
        if kind == "pil":
            pixels = self._from_pil(items, height, width, resize_mode, crops_coords)
        else:
            alone = not isinstance(image, (list, tuple))
            if self.config.do_convert_grayscale and alone and items[0].ndim == 3:
                items = [_with_channel(items[0])]
            make: Any = arrays.batch_arrays if kind == "np" else arrays.batch_tensors
            pixels = make(items, of_masks=self.config.do_binarize)
            if kind == "pt" and pixels.shape[1] == self.config.vae_latent_channels:
                return pixels
            if kind == "np" and self.config.do_convert_grayscale:
                pixels = arrays.as_grey(pixels)
            elif kind == "np" and self.config.do_convert_rgb and self.config.vae_latent_channels:
                # An array is always an image, whatever its number of channels, and never latents.
                pixels = arrays.as_rgb(pixels)
            if self.config.do_resize:
                size = self.get_default_height_width(pixels, height, width)
                pixels = resize_tensor(pixels, *size)
        if self.config.do_normalize and not bool(pixels.min() < 0):
            pixels = arrays.normalize(pixels)
        return masks.binarize(pixels) if self.config.do_binarize else pixels

    def _from_pil(
        self,
        images: list[Image.Image],
        height: int | None,
        width: int | None,
        mode: str,
        crop: Box | None,
    ) -> Tensor:
        images = [eight_bits(one) for one in images]
        if crop is not None:
            images = [one.crop(crop) for one in images]
        if self.config.do_resize:
            height, width = self.get_default_height_width(images[0], height, width)
            images = [self.resize(one, height, width, resize_mode=mode) for one in images]
        if self.config.do_convert_rgb:
            images = [self.convert_to_rgb(one) for one in images]
        elif self.config.do_convert_grayscale:
            images = [self.convert_to_grayscale(one) for one in images]
        return arrays.numpy_to_pt(arrays.pil_to_numpy(images))

    @overload
    def postprocess(
        self,
        image: Tensor,
        output_type: Literal["pil"] = "pil",
        do_denormalize: list[bool] | None = None,
    ) -> list[Image.Image]: ...
    @overload
    def postprocess(
        self, image: Tensor, output_type: str, do_denormalize: list[bool] | None = None
    ) -> Any: ...
    def postprocess(
        self,
        image: Tensor,
        output_type: str = "pil",
        do_denormalize: list[bool] | None = None,
    ) -> list[Image.Image] | np.ndarray | Tensor:
        """Convert the output of a model, (N, C, H, W), to `output_type`.

        Args:
            output_type: `"pil"` returns a list, `"np"` an array (N, H, W, C) and `"pt"` a tensor
                (N, C, H, W), both in [0, 1]; `"latent"` returns `image` unchanged.
            do_denormalize: for each image, whether it is in [-1, 1]; `do_normalize` by default.

        Raises:
            ArgumentTypeError: if `image` is not a tensor.
            ArgumentError: if `output_type` is unknown, or `do_denormalize` doesn't have one entry
                for each image.
        """
        if not isinstance(image, torch.Tensor):
            raise ArgumentTypeError(f"postprocess takes a tensor, not a {type(image).__name__}")
        check_output_type(output_type)
        if output_type == "latent":
            return image
        flags = (
            [self.config.do_normalize] * len(image) if do_denormalize is None else do_denormalize
        )
        if len(flags) != len(image):
            raise ArgumentError(f"do_denormalize has {len(flags)} flags for {len(image)} images")
        image = torch.stack(
            [arrays.denormalize(one) if flag else one for one, flag in zip(image, flags)]
        )
        if output_type == "pt":
            return image
        array = arrays.pt_to_numpy(image)
        return array if output_type == "np" else numpy_to_pil(array)

    def apply_overlay(
        self,
        mask: Image.Image,
        init_image: Image.Image,
        image: Image.Image,
        crop_coords: Box | None = None,
    ) -> Image.Image:
        """Return `init_image` with the repainted `image` where `mask` is white.

        Args:
            crop_coords: left, top, right, bottom of the region of `init_image` that `image` shows.
        """
        if crop_coords is not None:
            left, top, right, bottom = crop_coords
            patch = self.resize(image, bottom - top, right - left, resize_mode="crop")
            image = Image.new("RGB", init_image.size)
            image.paste(patch, (left, top))
        return masks.overlay(mask, init_image, image)


def mask_processor(vae_scale_factor: int, resample: str = "lanczos") -> VaeImageProcessor:
    """Return a processor of masks: one channel, 1 where a pixel is at least half white, else 0."""
    return VaeImageProcessor(
        vae_scale_factor=vae_scale_factor,
        vae_latent_channels=0,
        resample=resample,
        do_normalize=False,
        do_binarize=True,
        do_convert_grayscale=True,
    )


def _with_channel(image: Any) -> Any:
    """Return (N, H, W) as a batch of grey images, but an array (H, W, C) as a batch of one."""
    if isinstance(image, torch.Tensor):
        return image.unsqueeze(1)
    return image[None] if image.shape[-1] in (1, 3, 4) else image[..., None]
