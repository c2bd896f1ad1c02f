"""Base classes that programs give to their own pipelines, and ask for with `isinstance`.

What they stand for is a method of every pipeline or network here, so most are empty. An object
counts as an instance if the package that brings this method is installed.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from autopipe.config import ConfigMixin
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline
from autopipe_components.latent.autoencoder import AutoencoderPipeline


class _Marker(type(Protocol)):  # type: ignore[misc]  # Some pipelines are protocols.
    """The class of mixins: `isinstance` is also true for what has the mixin's method."""

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        if super().__subclasscheck__(subclass):
            return True
        base, method = _MARKS.get(cls, (None, ""))
        return base is not None and issubclass(subclass, base) and hasattr(subclass, method)


class StableDiffusionLoraLoaderMixin(metaclass=_Marker):
    """Marks pipelines with `load_lora_weights`."""

    unet_name: ClassVar[str] = "unet"
    text_encoder_name: ClassVar[str] = "text_encoder"


LoraLoaderMixin = LoraBaseMixin = StableDiffusionLoraLoaderMixin


class StableDiffusionXLLoraLoaderMixin(metaclass=_Marker):
    """Marks pipelines with `load_lora_weights`, by the name for SDXL."""

    unet_name: ClassVar[str] = "unet"
    text_encoder_name: ClassVar[str] = "text_encoder"


class TextualInversionLoaderMixin(metaclass=_Marker):
    """Marks pipelines with `load_textual_inversion`."""


class IPAdapterMixin(metaclass=_Marker):
    """Marks pipelines with `load_ip_adapter`."""


class FromSingleFileMixin(metaclass=_Marker):
    """Marks pipelines with `from_single_file`."""


class FromOriginalModelMixin(metaclass=_Marker):
    """Marks networks with `from_single_file`."""


class PeftAdapterMixin(metaclass=_Marker):
    """Marks networks with `add_adapter`."""


class UNet2DConditionLoadersMixin(metaclass=_Marker):
    """Marks networks with `load_attn_procs`."""


class StableDiffusionMixin(metaclass=_Marker):
    """Gives a pipeline with a component `vae` the methods that save its memory."""

    autoencoder_name = AutoencoderPipeline.autoencoder_name
    autoencoder = AutoencoderPipeline.autoencoder
    enable_vae_slicing = AutoencoderPipeline.enable_vae_slicing
    disable_vae_slicing = AutoencoderPipeline.disable_vae_slicing
    enable_vae_tiling = AutoencoderPipeline.enable_vae_tiling
    disable_vae_tiling = AutoencoderPipeline.disable_vae_tiling


class DeprecatedPipelineMixin:
    """Has no effect; diffusers warns about pipelines with it."""


LegacyConfigMixin, LegacyModelMixin = ConfigMixin, ModelMixin

_MARKS: dict[type, tuple[type, str]] = {
    StableDiffusionLoraLoaderMixin: (DiffusionPipeline, "load_lora_weights"),
    StableDiffusionXLLoraLoaderMixin: (DiffusionPipeline, "load_lora_weights"),
    TextualInversionLoaderMixin: (DiffusionPipeline, "load_textual_inversion"),
    IPAdapterMixin: (DiffusionPipeline, "load_ip_adapter"),
    FromSingleFileMixin: (DiffusionPipeline, "from_single_file"),
    StableDiffusionMixin: (DiffusionPipeline, "enable_vae_slicing"),
    FromOriginalModelMixin: (ModelMixin, "from_single_file"),
    PeftAdapterMixin: (ModelMixin, "add_adapter"),
    UNet2DConditionLoadersMixin: (ModelMixin, "load_attn_procs"),
}
"""What each mixin stands for: the kind of object, and its method."""
