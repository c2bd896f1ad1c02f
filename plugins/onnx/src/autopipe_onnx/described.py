"""What the config beside an ONNX file says about the network; not every checkpoint has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autopipe.errors import ConfigError
from autopipe.wording import shown

_Cells: TypeAlias = Annotated[int, Field(ge=1, le=4096)]


class Description(BaseModel):
    """Entries of the configs of a U-Net and an autoencoder, by default those of Stable Diffusion.

    Attributes:
        latent_channels: the channels of latents.
        block_out_channels: one entry for each level of the autoencoder, which halves the size.
        scaling_factor: what latents are multiplied by.
        sample_size: the training height and width.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    latent_channels: Annotated[int, Field(ge=1, le=1024)] = 4
    block_out_channels: Annotated[list[int], Field(min_length=1, max_length=8)] = [
        128,
        256,
        512,
        512,
    ]
    scaling_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.18215
    sample_size: _Cells | Annotated[list[_Cells], Field(min_length=2, max_length=2)] = 64

    @property
    def factor(self) -> int:
        """The number of pixels per latent cell, along each axis."""
        return int(2 ** (len(self.block_out_channels) - 1))


def described(config: Mapping[str, Any], origin: object) -> Description:
    """Return what a config says; it may be empty.

    Args:
        origin: the folder of the config, for the message.

    Raises:
        ConfigError: if an entry is not valid.
    """
    try:
        return Description.model_validate(dict(config))
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_context=False)[0]["loc"][0])
        raise ConfigError(
            f"{name!r} in the config.json of {origin} can't be {shown(config[name])}; correct it, "
            f"or fetch the checkpoint again"
        ) from None
