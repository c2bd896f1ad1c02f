"""The names of the network's modules in the code of its authors, and in that of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Names = dict[str, "str | tuple[str, ...]"]
"""The path of a module by another name, or the paths of several whose outputs it joins."""

_ALONE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
}
_SINGLE = {
    "modulation.lin": "norm.linear",
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_SEEN = ("attn.to_q", "attn.to_k", "attn.to_v")
_TOLD = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")

LAST_NORM = ("final_layer.adaLN_modulation.1", "norm_out.linear")
"""The last norm, which has shift and scale there in the other order."""


def original_names(config: Mapping[str, Any]) -> Names:
    """Return the modules of a network by the names of its authors, but for `LAST_NORM`.

    Args:
        config: of a `FluxTransformer2DModel`.
    """
    found: Names = {**_ALONE}
    if not config["guidance_embeds"]:
        found = {name: path for name, path in found.items() if not name.startswith("guidance")}
    for i in range(config["num_layers"]):
        block = f"transformer_blocks.{i}"
        found |= {f"double_blocks.{i}.{n}": f"{block}.{path}" for n, path in _DOUBLE.items()}
        for stream, paths in (("img", _SEEN), ("txt", _TOLD)):
            found[f"double_blocks.{i}.{stream}_attn.qkv"] = _under(block, paths)
    for i in range(config["num_single_layers"]):
        block = f"single_transformer_blocks.{i}"
        found |= {f"single_blocks.{i}.{n}": f"{block}.{path}" for n, path in _SINGLE.items()}
        found[f"single_blocks.{i}.linear1"] = _under(block, (*_SEEN, "proj_mlp"))
    return found


def names_of_processors(config: Mapping[str, Any]) -> Names:
    """Return the modules that LoRAs change which were trained as attention processors.

    Processors of blocks with two streams number them: 1 for the image, 2 for the text.
    """
    found: Names = {}
    for i in range(config["num_layers"]):
        block, processor = f"transformer_blocks.{i}", f"double_blocks.{i}"
        found[f"{processor}.proj1"] = f"{block}.attn.to_out.0"
        found[f"{processor}.proj2"] = f"{block}.attn.to_add_out"
        found[f"{processor}.qkv1"] = _under(block, _SEEN)
        found[f"{processor}.qkv2"] = _under(block, _TOLD)
    for i in range(config["num_single_layers"]):
        block, processor = f"single_transformer_blocks.{i}", f"single_blocks.{i}"
        found[f"{processor}.proj"] = f"{block}.proj_out"
        found[f"{processor}.qkv"] = _under(block, _SEEN)
    return found


def _under(block: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{block}.{path}" for path in paths)
