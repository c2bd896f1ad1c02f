"""Schemas for configs of tokenizers, image processors and networks of transformers.

transformers accepts many invalid values and fails only in a call. So the entries that its classes
read during a call are checked here; other entries pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...errors import ConfigError
from ...wording import shown

LARGEST_SIDE = 1 << 11
"""The largest side of a processor's output in pixels; no image encoder takes half of it."""


class Entries(BaseModel):
    """The base of the schemas."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class _AddedToken(Entries):
    """A token with the rules for matching it, as in the `tokenizers` package."""

    content: Annotated[str, Field(min_length=1)]
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False


_Flag: TypeAlias = Annotated[bool | None, Field(description="true or false")]
_Given: TypeAlias = Annotated[str, Field(min_length=1)] | _AddedToken
_Token: TypeAlias = Annotated[
    _Given | None, Field(description="a string, or an object with the string as 'content'")
]
_Tokens: TypeAlias = Annotated[list[_Given] | None, Field(description="a list of tokens")]
_Named: TypeAlias = Annotated[
    list[_Given] | dict[str, _Token] | None, Field(description="a list of tokens, or an object")
]
_Template: TypeAlias = Annotated[
    str | dict[str, str] | list[dict[str, str]] | None, Field(description="a template")
]
_Length: TypeAlias = Annotated[
    Annotated[float, Field(ge=1)] | None, Field(description="a number of tokens, at least 1")
]
_Side: TypeAlias = Annotated[
    Literal["left", "right"], Field(description="'left' or 'right'"),
]  # fmt: skip


class TokenizerEntries(Entries):
    """Entries of `tokenizer_config.json` and `special_tokens_map.json`."""

    model_max_length: _Length = None
    max_len: _Length = None
    bos_token: _Token = None
    eos_token: _Token = None
    unk_token: _Token = None
    sep_token: _Token = None
    pad_token: _Token = None
    cls_token: _Token = None
    mask_token: _Token = None
    additional_special_tokens: _Tokens = None
    extra_special_tokens: _Named = None
    model_specific_special_tokens: _Named = None
    chat_template: _Template = None
    added_tokens_decoder: Annotated[
        dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], _AddedToken],
        Field(description="an object that maps numbers to tokens"),
    ] = {}
    extra_ids: Annotated[
        int, Field(ge=0, le=100_000, description="an integer from 0 to 100,000")
    ] = 0
    padding_side: _Side = "right"
    truncation_side: _Side = "right"
    model_input_names: Annotated[
        list[str], Field(min_length=1, description="a list of input names")
    ] = []
    fast_tokenizer_files: Annotated[
        list[str], Field(description="a list of files in its folder")
    ] = []
    add_prefix_space: _Flag = None
    clean_up_tokenization_spaces: _Flag = None
    split_special_tokens: _Flag = None
    do_lower_case: _Flag = None


def _names(*allowed: set[str]) -> AfterValidator:
    """Accept objects whose keys are one of the sets `allowed`."""

    def check(sizes: dict[str, int]) -> dict[str, int]:
        if set(sizes) not in allowed:
            raise ValueError
        return sizes

    return AfterValidator(check)


_SIDES = {"height", "width"}
_Pixels: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
_Pair: TypeAlias = Annotated[list[_Pixels], Field(min_length=1, max_length=2)]
_Crop: TypeAlias = Annotated[
    _Pixels | _Pair | Annotated[dict[str, _Pixels], _names(_SIDES)] | None,
    Field(
        description=f"a number of pixels, or {{'height': ..., 'width': ...}}, from 1 to "
        f"{LARGEST_SIDE:,}"
    ),
]
_Size: TypeAlias = Annotated[
    _Pixels
    | _Pair
    | Annotated[
        dict[str, _Pixels],
        _names(
            _SIDES,
            {"shortest_edge"},
            {"shortest_edge", "longest_edge"},
            {"max_height", "max_width"},
        ),
    ]
    | None,
    Field(
        description=f"a number of pixels, or an object like {{'shortest_edge': 224}}, from 1 to "
        f"{LARGEST_SIDE:,}"
    ),
]
_Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ImageEntries(Entries):
    """Entries of `preprocessor_config.json`, for image processors with three channels."""

    do_resize: _Flag = None
    do_center_crop: _Flag = None
    do_rescale: _Flag = None
    do_normalize: _Flag = None
    do_convert_rgb: _Flag = None
    do_pad: _Flag = None
    default_to_square: _Flag = None
    size: _Size = None
    crop_size: _Crop = None
    pad_size: _Size = None
    resample: Annotated[
        Annotated[int, Field(ge=0, le=5)] | None,
        Field(description="the number of a PIL filter, from 0 to 5"),
    ] = None
    rescale_factor: Annotated[_Positive | None, Field(description="a finite number above 0")] = None
    image_mean: Annotated[
        _Number | Annotated[list[_Number], Field(min_length=3, max_length=3)] | None,
        Field(description="three finite numbers"),
    ] = None
    image_std: Annotated[
        _Positive | Annotated[list[_Positive], Field(min_length=3, max_length=3)] | None,
        Field(description="three finite numbers above 0"),
    ] = None


_Whole: TypeAlias = Annotated[int, Field(ge=1)]
_Count: TypeAlias = Annotated[
    Annotated[int, Field(ge=0)] | None, Field(description="an integer of at least 0")
]
_Layers: TypeAlias = Annotated[
    Annotated[int, Field(ge=0, le=1024)] | None, Field(description="an integer from 0 to 1,024")
]
_Share: TypeAlias = Annotated[
    Annotated[float, Field(ge=0, le=1)] | None, Field(description="a number from 0 to 1")
]
_Small: TypeAlias = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")
]
_Spread: TypeAlias = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    Field(description="a number of at least 0"),
]
_Sides: TypeAlias = Annotated[
    _Whole | Annotated[list[_Whole], Field(min_length=1, max_length=2)] | None,
    Field(description="a number of pixels"),
]
_Id: TypeAlias = Annotated[int, Field(ge=0, description="a token id of at least 0")]
_AnyId: TypeAlias = Annotated[_Id | None, Field(description="a token id, or null")]


class LayerEntries(Entries):
    """Entries of the `config.json` of any network: its layers, each of which takes time to build.

    Torch checks the sizes of layers itself.
    """

    num_hidden_layers: _Layers = None
    num_layers: _Layers = None


class NetworkEntries(LayerEntries):
    """Entries of the `config.json` of a network that is known."""

    num_attention_heads: _Count = None
    num_heads: _Count = None
    layer_norm_eps: _Small = 1e-5
    layer_norm_epsilon: _Small = 1e-5
    dropout_rate: _Share = None
    attention_dropout: _Share = None
    hidden_dropout_prob: _Share = None
    attention_probs_dropout_prob: _Share = None
    eos_token_id: _AnyId = None
    pad_token_id: _AnyId = None
    image_size: _Sides = None
    patch_size: _Sides = None
    relative_attention_max_distance: Annotated[
        int, Field(ge=1, description="an integer of at least 1")
    ] = 1
    chunk_size_feed_forward: Annotated[
        int, Field(ge=0, le=1, description="0 or 1, because texts have any length")
    ] = 0
    initializer_range: _Spread = None
    initializer_factor: _Spread = None
    output_hidden_states: _Flag = None
    output_attentions: _Flag = None


class ClipTextEntries(NetworkEntries):
    """Entries of a CLIP text encoder, which looks for the end token of each text."""

    eos_token_id: _Id = 0


class _Backbone(NetworkEntries):
    """Entries of the convolutional part of a depth estimator."""

    model_type: Literal["bit"] = "bit"


class DepthEntries(NetworkEntries):
    """Entries of a depth estimator, plain or with a BiT before its transformer."""

    backbone_config: Annotated[
        _Backbone | None, Field(description="null, or an object whose model_type is 'bit'")
    ] = None
    backbone_out_indices: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(description="a list of layers, from 0")
    ] = []
    head_in_index: Annotated[int, Field(ge=-4, le=3, description="a number from -4 to 3")] = -1
    num_channels: Annotated[Literal[3], Field(description="3")] = 3


def check_entries(kind: type[Entries], content: Mapping[str, Any], file: Path) -> None:
    """Check the `content` of a config against its schema.

    Raises:
        ConfigError: if an entry is invalid; the message names `file`, the entry and its value.
    """
    for name, value in content.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{shown(name)} in {file} contains a lone surrogate, which can't be encoded; fetch "
                f"the checkpoint again"
            ) from None
    try:
        kind.model_validate(dict(content))
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_context=False)[0]["loc"][0])
        raise ConfigError(
            f"{name!r} in {file} must be {kind.model_fields[name].description}, not "
            f"{shown(content[name])}; correct it, or fetch the checkpoint again"
        ) from None
