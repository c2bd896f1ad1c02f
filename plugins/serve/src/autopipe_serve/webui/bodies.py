"""The bodies of requests, with the defaults of the web UI. Unknown fields are ignored, as there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LARGEST_SEED = 2**53 - 1
"""The largest seed, the largest whole number that JavaScript knows."""

_Count = Annotated[int, Field(ge=1, le=10**6)]
_Pixels = Annotated[int, Field(ge=1, le=1 << 16)]
_Margin = Annotated[int, Field(ge=0, le=1 << 12)]


def rounded(side: int) -> int:
    """Return the largest multiple of 8 up to a side in pixels, but at least 8."""
    return max(8, side // 8 * 8)


class Body(BaseModel):
    """A body in which null means that a field isn't given."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: one for name, one in value.items() if one is not None}
        return value

    @field_validator("*")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, str) and value.encode("utf-8", "replace").decode() != value:
            raise ValueError("it has half of a character, as texts that were cut may have")
        return value


class Options(Body):
    """What a client can set, for one request or for all.

    Attributes:
        sd_model_checkpoint: the name of a model, or its title.
        sd_vae: the autoencoder; only the model's own is there.
        CLIP_stop_at_last_layers: which layer of the text encoder is used, 1 for the last.
        samples_format: the format of answered images: `png`, `jpg` or `webp`.
    """

    sd_model_checkpoint: str | None = None
    sd_vae: str | None = None
    CLIP_stop_at_last_layers: int | None = Field(default=None, ge=1, le=100)
    samples_format: str | None = None


class Drawing(Body):
    """What `txt2img` and `img2img` share, by the names of the web UI."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = Field(default=-1, ge=-1, le=LARGEST_SEED)
    sampler_name: str = ""
    sampler_index: str = ""
    scheduler: str = ""
    batch_size: _Count = 1
    n_iter: _Count = 1
    steps: _Count = 50
    cfg_scale: float = 7.0
    width: _Pixels = 512
    height: _Pixels = 512
    override_settings: Options = Options()
    send_images: bool = True
    save_images: bool = False

    # Not taken, if they are set.
    styles: list[str] = []
    restore_faces: bool = False
    tiling: bool = False
    subseed_strength: float = 0
    seed_resize_from_w: int = 0
    seed_resize_from_h: int = 0
    refiner_checkpoint: str = ""
    script_name: str = ""
    alwayson_scripts: dict[str, Any] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as they are drawn: rounded down to multiples of 8."""
        return rounded(self.width), rounded(self.height)


class Text2Image(Drawing):
    """The body of `txt2img`."""

    enable_hr: bool = False
    denoising_strength: float = Field(default=0.7, ge=0, le=1)
    hr_scale: float = Field(default=2, ge=1, le=16)
    hr_upscaler: str = "Latent"
    hr_second_pass_steps: int = Field(default=0, ge=0, le=10**6)
    hr_resize_x: int = Field(default=0, ge=0, le=1 << 16)
    hr_resize_y: int = Field(default=0, ge=0, le=1 << 16)
    hr_checkpoint_name: str = ""
    hr_sampler_name: str = ""
    hr_scheduler: str = ""
    hr_prompt: str = ""
    hr_negative_prompt: str = ""


class Image2Image(Drawing):
    """The body of `img2img`."""

    init_images: list[str] = Field(min_length=1, max_length=1000)
    mask: str | None = None
    resize_mode: int = Field(default=0, ge=0, le=3)
    denoising_strength: float = Field(default=0.75, ge=0, le=1)
    mask_blur: float = Field(default=4, ge=0, le=256)
    inpainting_fill: int = Field(default=0, ge=0, le=3)
    inpaint_full_res: bool = True
    inpaint_full_res_padding: _Margin = 0
    inpainting_mask_invert: int = Field(default=0, ge=0, le=1)
    include_init_images: bool = False


class PngInfo(Body):
    """The body of `png-info`.

    Attributes:
        image: a file in base64.
    """

    image: str
