"""The attention to image prompts, in the networks that an IP-Adapter changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_components.networks.attention import Attention, check_bias

from .adapter_file import AdapterWeights, ImageKeys, LayerLora
from .given import check_embeds
from .masks import as_queries, check_masks
from .scales import Scale

EMBEDS = "image_embeds"
"""The entry of `added_cond_kwargs` with the encoded images."""
MASKS = "ip_adapter_masks"
"""The entry of `cross_attention_kwargs` with the masks."""


@dataclass
class PromptedNetwork:
    """Runs a U-Net with the image prompts that it gets in `added_cond_kwargs`."""

    adapters: Sequence[AdapterWeights]

    def __call__(
        self,
        network: nn.Module,
        sample: Tensor,
        *args: Any,
        added_cond_kwargs: Mapping[str, Any] | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return the output of the network.

        Raises:
            ArgumentError: if `image_embeds` are absent, or they or the masks don't fit.
        """
        added, attention = dict(added_cond_kwargs or {}), dict(cross_attention_kwargs or {})
        embeds, masks = added.pop(EMBEDS, None), attention.pop(MASKS, None)
        if embeds is None:
            raise ArgumentError(
                "this U-Net has an IP-Adapter: pass added_cond_kwargs={'image_embeds': ...}, what "
                "prepare_ip_adapter_image_embeds returns, or deactivate the adapter"
            )
        check_embeds(EMBEDS, embeds, self.adapters)
        for i, one in enumerate(embeds):
            if len(one) != len(sample):
                raise ArgumentError(
                    f"image_embeds[{i}] is {shown(one)}, for {len(one)} samples; the U-Net gets "
                    f"{len(sample)}: under guidance the negative half comes first"
                )
        if masks is not None:
            attention[MASKS] = check_masks(masks, [one.shape[1] for one in embeds])
        attention["image_tokens"] = [
            adapter.tokens_of(one) for adapter, one in zip(self.adapters, embeds)
        ]
        return network(
            sample,
            *args,
            added_cond_kwargs=added,
            cross_attention_kwargs=attention,
            **options,
        )


@dataclass
class ImageAttention:
    """Adds attention to image prompts to an attention layer, before its output projection.

    The result is the layer's own attention plus, for each adapter, its scale times the attention of
    the same queries to the tokens of its images; "IP-Adapter" (Ye et al., 2023, arXiv:2308.06721).

    Attributes:
        keys: the keys and values of this layer, for each adapter.
        scales: for each adapter; None leaves it out.
    """

    keys: Sequence[ImageKeys]
    scales: Sequence[Scale | None]

    def __call__(
        self,
        layer: Attention,
        hidden: Tensor,
        context: Tensor | None = None,
        bias: Tensor | None = None,
        *,
        image_tokens: Sequence[Tensor],
        ip_adapter_masks: Sequence[Tensor | None] | None = None,
        **options: Any,
    ) -> Tensor:
        """Return the output of the layer, (B, Q, query_dim).

        Args:
            image_tokens: for each adapter, (B, images, tokens, width).
            ip_adapter_masks: for each adapter, (images, H, W), or None.
        """
        every = ip_adapter_masks or [None] * len(image_tokens)
        context = layer.check_context(context, hidden.shape[0])
        check_bias(bias, context.shape[1])
        query = layer.to_q(hidden)
        attended = layer.attended(query, layer.to_k(context), layer.to_v(context), bias)
        for keys, scale, tokens, masks in zip(self.keys, self.scales, image_tokens, every):
            if scale is not None and masks is not None:
                attended = attended + _masked(layer, query, keys, tokens, scale, masks)
            elif isinstance(scale, list):
                raise ArgumentError(
                    f"the scale of an IP-Adapter is {shown(scale)}, one for each masked image; "
                    f"give ip_adapter_masks in cross_attention_kwargs, or a number"
                )
            elif scale is not None:
                attended = attended + scale * _attended(layer, query, keys, tokens.flatten(1, 2))
        return layer.project(attended)


def _masked(
    layer: Attention,
    query: Tensor,
    keys: ImageKeys,
    tokens: Tensor,
    scale: Scale,
    masks: Tensor,
) -> Tensor | float:
    """Return the attention to the tokens of each image, where its mask is white, scaled."""
    scales = scale if isinstance(scale, list) else [scale] * len(masks)
    if len(scales) != len(masks):
        raise ArgumentError(
            f"{len(scales)} scales are given for {len(masks)} masked images of an IP-Adapter; give "
            f"one for each, or a single number"
        )
    weights = as_queries(masks.to(query), query.shape[1])
    return sum(
        one * (_attended(layer, query, keys, tokens[:, i]) * weights[i])
        for i, one in enumerate(scales)
    )


def _attended(layer: Attention, query: Tensor, keys: ImageKeys, tokens: Tensor) -> Tensor:
    """Return the attention of queries (B, Q, D) to tokens (B, K, width), before the projection."""
    return layer.attended(query, keys.to_k_ip(tokens), keys.to_v_ip(tokens))


@dataclass
class ChangedProjection:
    """A projection of an attention layer with the changes that FaceID files bring."""

    loras: Sequence[LayerLora]

    def __call__(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """Return the output of the projection, changed."""
        output: Tensor = layer(hidden)
        for lora in self.loras:
            output = output + lora(hidden)
        return output
