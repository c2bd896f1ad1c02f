"""Small encoders of unusual configs, each with its class of transformers and some inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from autopipe_components.encoders import clip_text, clip_vision, t5, xlm_roberta

TOKENS = 50
END = 49

IDS = torch.randint(3, 48, (3, 9), generator=torch.Generator().manual_seed(1))
IDS[0, 8], IDS[1, 6], IDS[2, 3] = END, END, END
IDS[1, 7:], IDS[2, 4:] = END, 1
MASK = (torch.arange(9)[None] < torch.tensor([9, 7, 4])[:, None]).long()
FULL_MASK = torch.stack([mask[:, None] * mask[None] for mask in MASK])[:, None].bool()
FULL_MASK |= torch.eye(9, dtype=torch.bool)


@dataclass(frozen=True)
class Case:
    """An encoder: our class, the config, and inputs by a description."""

    ours: type[Any]
    config: dict[str, Any]
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def theirs(self) -> type[Any]:
        """The class of transformers."""
        found: type[Any] = getattr(transformers, self.ours.__name__)
        return found

    def pair(self, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
        """Return an encoder of ours and one of theirs with the same random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            theirs = self.theirs(self.theirs.config_class(**self.config)).eval()
            for parameter in theirs.parameters():
                parameter.data.normal_(std=0.4)
        ours = self.ours(**self.config).eval()
        ours.load_state_dict(theirs.state_dict())
        return ours.to(dtype), theirs.to(dtype)


CLIP: dict[str, Any] = {
    "hidden_size": 30,
    "intermediate_size": 41,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "projection_dim": 7,
}
TEXT: dict[str, Any] = {
    **CLIP,
    "vocab_size": TOKENS,
    "max_position_embeddings": 12,
    "bos_token_id": 0,
    "eos_token_id": END,
}
VISION: dict[str, Any] = {**CLIP, "image_size": 14, "patch_size": 4}
T5: dict[str, Any] = {
    "vocab_size": TOKENS,
    "d_model": 20,
    "d_kv": 6,
    "d_ff": 33,
    "num_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 10,
    "relative_attention_max_distance": 5,
}
XLM_R: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 30,
    "intermediate_size": 41,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}
TEXTS = {
    "no mask": {"input_ids": IDS},
    "a mask": {"input_ids": IDS, "attention_mask": MASK},
    "a mask of ones": {"input_ids": IDS, "attention_mask": torch.ones_like(MASK)},
    "a mask for each token": {"input_ids": IDS, "attention_mask": FULL_MASK},
    "one token": {"input_ids": IDS[:, :1]},
}
PLACED = {"positions": {"input_ids": IDS, "position_ids": torch.arange(9).flip(0)[None]}}
STATES = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(2))
EMBEDDED = {"embeddings": {"inputs_embeds": STATES}}
IMAGES = {
    "images": {"pixel_values": torch.randn(2, 3, 14, 14)},
    "larger images": {
        "pixel_values": torch.randn(2, 3, 20, 28),
        "interpolate_pos_encoding": True,
    },
    "images of its size": {
        "pixel_values": torch.randn(2, 3, 14, 14),
        "interpolate_pos_encoding": True,
    },
}

TEXT_MODEL = Case(clip_text.CLIPTextModel, TEXT, {**TEXTS, **PLACED})
TEXT_PROJECTION = Case(clip_text.CLIPTextModelWithProjection, TEXT, {**TEXTS, **PLACED})
VISION_MODEL = Case(clip_vision.CLIPVisionModel, VISION, IMAGES)
VISION_PROJECTION = Case(clip_vision.CLIPVisionModelWithProjection, VISION, IMAGES)
T5_MODEL = Case(
    t5.T5EncoderModel,
    {**T5, "feed_forward_proj": "gated-gelu"},
    {**TEXTS, "embeddings": {"inputs_embeds": STATES[..., :20]}},
)
XLM_R_MODEL = Case(xlm_roberta.XLMRobertaModel, XLM_R, {**TEXTS, **PLACED, **EMBEDDED})

CASES = {
    case.ours.__name__: case
    for case in (
        TEXT_MODEL,
        TEXT_PROJECTION,
        VISION_MODEL,
        VISION_PROJECTION,
        T5_MODEL,
        XLM_R_MODEL,
    )
}
"""One of each class."""


def changed(case: Case, **changes: Any) -> Case:
    """Return `case` with another config."""
    return Case(case.ours, {**case.config, **changes}, case.inputs)


VARIANTS = {
    **CASES,
    "an end token of early configs": changed(TEXT_MODEL, eos_token_id=2),
    "gelu": changed(TEXT_PROJECTION, hidden_act="gelu", layer_norm_eps=1e-3),
    "gelu by tanh": changed(TEXT_MODEL, hidden_act="gelu_pytorch_tanh"),
    "one head": changed(TEXT_MODEL, num_attention_heads=1),
    "many small heads": changed(TEXT_MODEL, num_attention_heads=30),
    "gelu of images": changed(VISION_MODEL, hidden_act="gelu"),
    "images of one channel": Case(
        clip_vision.CLIPVisionModel,
        {**VISION, "num_channels": 1, "patch_size": 14},
        {"images": {"pixel_values": torch.randn(2, 1, 14, 14)}},
    ),
    "T5 without a gate": changed(T5_MODEL, feed_forward_proj="relu"),
    "T5 with silu": changed(T5_MODEL, feed_forward_proj="gated-silu"),
    "T5 with the usual buckets": changed(
        T5_MODEL, relative_attention_num_buckets=32, relative_attention_max_distance=128
    ),
    "XLM-R with relu": changed(XLM_R_MODEL, hidden_act="relu", pad_token_id=0),
}
CALLS = [(name, call) for name, case in VARIANTS.items() for call in case.inputs]


def tensors(output: Any) -> list[torch.Tensor]:
    """Return all tensors of an output, in order."""
    flat = [one if isinstance(one, tuple) else (one,) for one in output.to_tuple()]
    return [tensor for group in flat for tensor in group]
