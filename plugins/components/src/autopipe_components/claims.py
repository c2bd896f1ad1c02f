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

_PROCESSORS = {
    "BertTokenizer": "bert_tokenizer",
    "CLIPImageProcessor": "clip_image_processor",
    "CLIPTokenizer": "clip_tokenizer",
    "T5Tokenizer": "t5_tokenizer",
    "XLMRobertaTokenizer": "xlm_roberta_tokenizer",
}

_PACKAGE, _LIBRARY = "autopipe_components", "transformers"

LIGHT = (
    *(Component(n, f"{_PACKAGE}.encoders.{m}:{n}", _LIBRARY) for n, m in _ENCODERS.items()),
    *(
        Component(n, f"{_PACKAGE}.processing.{m}:{n}", _LIBRARY, kind="other")
        for n, m in _PROCESSORS.items()
    ),
)


def moved(name: str, target: str, line: str) -> tuple[Component, ...]:
    """Return the claims of a component that diffusers 0.42 names otherwise than published indexes.

    Its class moved there: diffusers writes the library `diffusers` and finds the class under none,
    and takes an object that is passed with `deprecated`. Published checkpoints have the name of
    their line, and so have those saved here: of several claims, the last is written.
    """
    return tuple(Component(name, target, library) for library in ("deprecated", "diffusers", line))
