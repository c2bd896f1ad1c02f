"""The components that families claim, for their own lines, in place of classes of transformers.

They have the same checkpoints, and don't import transformers. All families claim the same ones, so
the claims are shared. The checkpoints of other lines get the classes of transformers.
"""

from __future__ import annotations

from autopipe.manifest import Component

_ENCODERS = {
    "CLIPTextModel": "clip_text",
    "CLIPTextModelWithProjection": "clip_text",
    "CLIPVisionModel": "clip_vision",
    "CLIPVisionModelWithProjection": "clip_vision",
    "T5EncoderModel": "t5",
    "XLMRobertaModel": "xlm_roberta",
}

LIGHT = tuple(
    Component(name, f"autopipe_components.encoders.{module}:{name}", library="transformers")
    for name, module in _ENCODERS.items()
)
