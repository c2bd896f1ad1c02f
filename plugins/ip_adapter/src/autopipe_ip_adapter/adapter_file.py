"""Reads the files of IP-Adapters: what projects an image, and keys and values for attention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import WeightsMismatchError
from autopipe.wording import listed, shown

from .projections import Projection, make_projection

_PARTS = ("image_proj", "ip_adapter")
_IMAGE_KEY = re.compile(r"(\d{1,4})\.to_(k|v)_ip\.weight")
_LORA_KEY = re.compile(r"(\d{1,4})\.to_(q|k|v|out)_lora\.(down|up)\.weight")


class ImageKeys(nn.Module):
    """The projections of tokens to keys and values for one attention layer."""

    def __init__(self, to_k_ip: Tensor, to_v_ip: Tensor) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = map(_linear, (to_k_ip, to_v_ip))


class LayerLora(nn.Module):
    """The change of low rank that a FaceID file brings for one projection of an attention layer."""

    def __init__(self, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.down, self.up = map(_linear, (down, up))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what is added to the output of the projection."""
        added: Tensor = self.up(self.down(hidden))
        return added


class AdapterWeights(nn.Module):
    """The weights of one IP-Adapter.

    Attributes:
        origin: the file, for messages.
        image_proj: the projection of encoded images to tokens.
        keys: for each attention to the prompt, keys and values for these tokens, in the order of
            the file: those of the U-Net's way down, up, and of its middle; see `image_keys`.
        loras: by the number of an attention layer in the same order, self-attention included, and
            the name of its projection, such as `"to_q"`.
    """

    image_proj: Projection

    def __init__(self, tensors: Mapping[str, Any], origin: str) -> None:
        """Take the tensors of a file.

        Args:
            tensors: those of `image_proj` and `ip_adapter` as two mappings, or with these words at
                the beginning of their names.

        Raises:
            WeightsMismatchError: if these aren't the tensors of an IP-Adapter.
        """
        super().__init__()
        self.origin = origin
        projection, attention = (_part(tensors, name, origin) for name in _PARTS)
        self.image_proj = make_projection(projection, origin)
        self.keys = nn.ModuleList(_image_keys(attention, self.image_proj.width, origin))
        self.loras = nn.ModuleDict(_loras(attention, origin))

    @property
    def image_keys(self) -> list[ImageKeys]:
        """The modules of `keys`."""
        return [one for one in self.keys if isinstance(one, ImageKeys)]

    def tokens_of(self, embeds: Tensor) -> Tensor:
        """Return tokens (B, images, tokens, width) of encoded images (B, images, ...)."""
        weight = next(self.image_proj.parameters())
        images = embeds.flatten(0, 1).to(weight)
        if self.image_proj.reads != "states":
            images = images.flatten(1)
        tokens: Tensor = self.image_proj(images)
        return torch.unflatten(tokens, 0, embeds.shape[:2])

    def loras_of(self, number: int) -> Iterator[tuple[str, LayerLora]]:
        """Return the changes of the attention layer of this number, with the projection's name."""
        for name in ("q", "k", "v", "out"):
            if f"{number}_{name}" in self.loras:
                lora = self.loras[f"{number}_{name}"]
                assert isinstance(lora, LayerLora)
                yield f"to_{name}", lora


def _part(tensors: Mapping[str, Any], part: str, origin: str) -> dict[str, Tensor]:
    """Return the tensors of one of the two parts of a file."""
    found = tensors.get(part)
    if not isinstance(found, Mapping):
        prefix = f"{part}."
        found = {
            name.removeprefix(prefix): one
            for name, one in tensors.items()
            if isinstance(name, str) and name.startswith(prefix)
        }
    if not found:
        raise WeightsMismatchError(
            f"{origin} is not an IP-Adapter: the file of one has tensors below image_proj and "
            f"ip_adapter, but this has {listed(tensors, 5) or 'nothing'}"
        )
    for name, one in found.items():
        if not isinstance(name, str) or not isinstance(one, Tensor) or not one.is_floating_point():
            raise WeightsMismatchError(
                f"{origin} has {shown(name)} below {part}, which is "
                f"{one.dtype if isinstance(one, Tensor) else shown(one)}; the weights of an "
                f"IP-Adapter are floating-point tensors"
            )
    return dict(found)


def _image_keys(tensors: Mapping[str, Tensor], width: int, origin: str) -> Sequence[ImageKeys]:
    pairs: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _IMAGE_KEY.fullmatch(name)
        if match is not None:
            pairs.setdefault(int(match[1]), {})[match[2]] = tensor
        elif _LORA_KEY.fullmatch(name) is None:
            raise WeightsMismatchError(
                f"{origin} has {shown(name)} below ip_adapter; a file for a U-Net has names such "
                f"as 1.to_k_ip.weight there"
            )
    expected = list(range(1, 2 * len(pairs), 2))
    if sorted(pairs) != expected or any(len(pair) != 2 for pair in pairs.values()) or not pairs:
        raise WeightsMismatchError(
            f"{origin} has to_k_ip and to_v_ip for the attention layers {listed(sorted(pairs))}, "
            f"but a file has both for the layers 1, 3, 5 and so on; it is incomplete"
        )
    for number, pair in sorted(pairs.items()):
        shapes = {tuple(one.shape) for one in pair.values()}
        if len(shapes) != 1 or pair["k"].ndim != 2 or pair["k"].shape[1] != width:
            raise WeightsMismatchError(
                f"{origin} has to_k_ip and to_v_ip of the shapes {tuple(pair['k'].shape)} and "
                f"{tuple(pair['v'].shape)} for the attention layer {number}; they must be equal, "
                f"and take tokens of the width {width}, which its projection makes"
            )
    return [ImageKeys(pairs[number]["k"], pairs[number]["v"]) for number in expected]


def _loras(tensors: Mapping[str, Tensor], origin: str) -> dict[str, LayerLora]:
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if (match := _LORA_KEY.fullmatch(name)) is not None:
            pairs.setdefault(f"{int(match[1])}_{match[2]}", {})[match[3]] = tensor
    for name, pair in pairs.items():
        down, up = pair.get("down"), pair.get("up")
        fits = down is not None and up is not None and down.ndim == up.ndim == 2
        if not fits or pair["down"].shape[0] != pair["up"].shape[1]:
            raise WeightsMismatchError(
                f"{origin} has an incomplete LoRA for to_{name.partition('_')[2]} of the attention "
                f"layer {name.partition('_')[0]}: down (rank, inputs) and up (outputs, rank) are "
                f"needed"
            )
    return {name: LayerLora(pair["down"], pair["up"]) for name, pair in pairs.items()}


def _linear(weight: Tensor) -> nn.Linear:
    """Return a linear layer with this weight, (outputs, inputs)."""
    outputs, inputs = weight.shape
    with torch.device("meta"):
        made = nn.Linear(inputs, outputs, bias=False)
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return made
