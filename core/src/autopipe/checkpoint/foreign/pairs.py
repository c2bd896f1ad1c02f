"""Checks that tokenizers and image processors fit the networks that read their outputs.

Without the check, the first call fails, on an accelerator without a helpful message.
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
    """Check each tokenizer against its text encoder, and the image processor against its network.

    Args:
        components: the components by name; `tokenizer_2` belongs to `text_encoder_2`, and so on.
        folder: the folder of the checkpoint, for the message.

    Raises:
        ConfigError: if a tokenizer has tokens that its text encoder doesn't know, or images have
            another size than the network expects.
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
            f"the {name} of {folder} doesn't fit its text encoder: it has token ids up to {last}, "
            f"but the text encoder only knows ids below {known}. Take both from the same "
            f"checkpoint; if tokens were added, call "
            f"text_encoder.resize_token_embeddings({last + 1}) and save both"
        )


def _known_tokens(encoder: Any) -> int | None:
    """Return the number of token embeddings of a text encoder; None if unknown."""
    try:
        return int(encoder.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError, TypeError):
        known = getattr(getattr(encoder, "config", None), "vocab_size", None)
        return known if isinstance(known, int) else None


def _last_id(tokenizer: Any) -> int:
    """Return the largest token id."""
    count = len(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Looking up each id takes a quarter of the time of building the whole vocabulary.
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
            f"'crop_size' in {folder / _IMAGES / 'preprocessor_config.json'} is "
            f"{shown(dict(crop))}, but the {_READS_IMAGES} needs images of {side} x {side}; "
            f"correct it, or take both from the same checkpoint"
        )
