"""The names of the tensors of a text encoder in OpenCLIP, which trained those of SD 2.x and SDXL.

"Reproducible scaling laws for contrastive language-image learning" (Cherti et al., 2022). There the
projections of queries, keys and values are one tensor, and the final projection is transposed.
"""

from __future__ import annotations

from collections.abc import Iterator

_OUTSIDE = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}

_IN_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}

_PROJECTIONS = ("q_proj", "k_proj", "v_proj")

PROJECTION, PROJECTED = "text_projection", "text_projection.weight"
"""The final projection, there and here."""


def open_clip_tensor_names(layers: int) -> dict[str, tuple[str, ...]]:
    """Return the names of tensors, by the name in OpenCLIP; three for what is joined there.

    Args:
        layers: the number of layers.
    """
    return {**{name: (path,) for name, path in _OUTSIDE.items()}, **dict(_layers(layers))}


def _layers(count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    for i in range(count):
        original, path = f"transformer.resblocks.{i}", f"text_model.encoder.layers.{i}"
        for kind in ("weight", "bias"):
            for name, ours in _IN_LAYER.items():
                yield f"{original}.{name}.{kind}", (f"{path}.{ours}.{kind}",)
            joined = tuple(f"{path}.self_attn.{one}.{kind}" for one in _PROJECTIONS)
            yield f"{original}.attn.in_proj_{kind}", joined
