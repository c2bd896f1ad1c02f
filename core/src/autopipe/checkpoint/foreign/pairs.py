"""Whether what prepares inputs fits the network that reads them.

What doesn't fit fails in the first call, on an accelerator without a word that helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...wording import shown
from .tokenizers import is_tokenizer

_IMAGES = "feature_extractor"
_READS_IMAGES = "safety_checker"


def check_pairs(components: Mapping[str, Any], folder: Path) -> None:
    """Compare each tokenizer with its text encoder, and image processor with safety checker.

    Args:
        components: by name; `tokenizer_2` goes with `text_encoder_2`, and so on.
        folder: of the checkpoint, for the message.

    Raises:
        ConfigError: a tokenizer has tokens that its text encoder doesn't know, or images come in
            another size than the network takes.
    """
    for name, one in components.items():
        if is_tokenizer(one):
            encoder = components.get(name.replace("tokenizer", "text_encoder"))
            _check_tokens(name, one, encoder, folder)
    _check_images(components.get(_IMAGES), components.get(_READS_IMAGES), folder)


def _check_tokens(name: str, tokenizer: Any, encoder: Any, folder: Path) -> None:
    known = None if encoder is tokenizer else _known_tokens(encoder)
    if known is not None and (last := _last_id(tokenizer)) >= known:
        raise ConfigError(
            f"the {name} of {folder} doesn't fit its text encoder: it gives tokens up to {last}, "
            f"and the text encoder knows those below {known}. Take both from the same checkpoint; "
            f"where tokens were added, call text_encoder.resize_token_embeddings({last + 1}) and "
            f"save both"
        )


def _known_tokens(encoder: Any) -> int | None:
    """How many tokens a text encoder has embeddings for; None where that can't be told."""
    try:
        return int(encoder.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError, TypeError):
        known = getattr(getattr(encoder, "config", None), "vocab_size", None)
        return known if isinstance(known, int) else None


def _last_id(tokenizer: Any) -> int:
    """The highest id of a token."""
    count = len(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Asking for each id takes a quarter of the time of making a table of all tokens.
    if backend is not None and None not in map(backend.id_to_token, range(count)):
        return count - 1
    return max(tokenizer.get_vocab().values(), default=0)


def _check_images(processor: Any, network: Any, folder: Path) -> None:
    config = getattr(getattr(network, "config", None), "vision_config", None)
    side = getattr(config, "image_size", None)
    crop = getattr(processor, "crop_size", None)
    if not isinstance(side, int) or not crop or not getattr(processor, "do_center_crop", False):
        return
    if (crop["height"], crop["width"]) != (side, side):
        raise ConfigError(
            f"{folder / _IMAGES / 'preprocessor_config.json'} has {shown(dict(crop))} as its "
            f"'crop_size', and the {_READS_IMAGES} reads images of {side} x {side}; correct it, "
            f"or take both from the same checkpoint"
        )
