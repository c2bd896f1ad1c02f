"""Everything that touches transformers: which of its classes, and how they load and save.

A checkpoint names these classes; only those listed here are ever looked up. Configs are read by
us, weights by our own reader, and what remains for transformers is to build a model from a
config. Tokenizers are in `processors`. No code is fetched or run.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import AutopipeError, ConfigError
from ...wording import shown, told
from ..build import WithoutMemory, check_sizes
from .entries import ClipTextEntries, NetworkEntries, check_entries

LIBRARY = "transformers"

STEMS = ("model", "pytorch_model")
"""What transformers calls weight files: safetensors, and pickled ones."""

_MODELS = (
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "T5EncoderModel",
    "XLMRobertaModel",
)
_TOKENIZERS = ("CLIPTokenizer", "T5Tokenizer", "XLMRobertaTokenizer")

# Class names that checkpoints give -> the name under which transformers 5 has the class.
CLASSES: Mapping[str, str] = {
    **{name: name for name in (*_MODELS, *_TOKENIZERS)},
    **{f"{name}Fast": name for name in _TOKENIZERS},
    "CLIPImageProcessor": "CLIPImageProcessor",
    "CLIPImageProcessorFast": "CLIPImageProcessor",
    "CLIPImageProcessorPil": "CLIPImageProcessor",
    "CLIPFeatureExtractor": "CLIPImageProcessor",
}

PROCESSOR_FILES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "preprocessor_config.json",
        "processor_config.json",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
"""What tokenizers and image processors are saved as."""

_DESCRIBED: Mapping[str | None, type[NetworkEntries]] = {
    "clip": NetworkEntries,
    "clip_text_model": ClipTextEntries,
    "clip_vision_model": NetworkEntries,
    "t5": NetworkEntries,
    "xlm-roberta": NetworkEntries,
}
"""What describes the configs of a model type; others have entries of their own."""

_HALVES = ("text_config", "vision_config")

_TRIED = 64
"""How many entries of a config are tried, to tell the wrong one."""

_building = threading.Lock()

_UNTRUSTED = (
    "auto_map",
    "attn_implementation",
    "trust_remote_code",
    "custom_pipelines",
    # Each call says it.
    "return_dict",
    # Tables of labels, made as large as these say; no model here classifies.
    "num_labels",
    "id2label",
    "label2id",
)
_DROPPED_FROM_SAVED = ("_name_or_path", "_commit_hash", "_attn_implementation")


def find_class(class_name: str) -> type | None:
    """The class of transformers that a checkpoint calls `class_name`; None unless it is listed."""
    name = CLASSES.get(class_name)
    if name is None:
        return None
    import transformers

    cls: type = getattr(transformers, name)
    return cls


def is_model(cls: type) -> bool:
    """Whether `cls` is a network of transformers, or one built on its base class."""
    return any(
        base.__module__ == "transformers.modeling_utils" and base.__name__ == "PreTrainedModel"
        for base in cls.__mro__
    )


def saved_name(class_name: str) -> str:
    """The class name to write into an index: one that every release of transformers knows."""
    return CLASSES.get(class_name, class_name)


# Models


def _trusted(content: Mapping[str, Any]) -> dict[str, Any]:
    """A config less what could run code or take memory, and less private entries, at any depth."""
    return {
        name: _trusted(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if not name.startswith("_") and name not in _UNTRUSTED
    }


def build(cls: Any, config: Mapping[str, Any], origin: Path) -> nn.Module:
    """A model of `cls` with a config, its tied weights tied.

    Args:
        origin: the folder of the config, for messages.

    Raises:
        ConfigError: it is malformed, or asks for what is not supported.
    """
    file = origin / "config.json"
    content = _trusted(config)
    section = getattr(cls.config_class, "base_config_key", "")
    if section and isinstance(content.get(section), dict):
        # The config of a text-and-image model says for both halves how large projections are.
        both = {name: content[name] for name in ("projection_dim",) if name in content}
        content = {**content[section], **both}
    if content.get("quantization_config") is not None:
        raise ConfigError(
            f"{file} describes quantized weights, which are not supported; use a checkpoint "
            f"without quantization"
        )
    check_sizes(content, file)
    kinds = [_DESCRIBED.get(vars(base).get("model_type")) for base in cls.config_class.__mro__]
    for kind in filter(None, kinds):
        for part in (content, *(content.get(half) for half in _HALVES)):
            check_entries(kind, part if isinstance(part, Mapping) else {}, file)

    def make(entries: Mapping[str, Any]) -> nn.Module:
        # While it sets initial values, transformers replaces functions of torch for all threads.
        with _building:
            model = cls(cls.config_class.from_dict(dict(entries)))
        model.tie_weights()
        made: nn.Module = model
        return made

    try:
        return make(content)
    except AutopipeError:
        raise
    except Exception as error:
        name, value = _culprit(make, content)
        said = f", where {name} is {shown(value)}" if name else ""
        raise ConfigError(
            f"{cls.__name__} can't be made from {file}{said} ({told(error)}); correct it, or fetch "
            f"the checkpoint again"
        ) from error


def _culprit(
    make: Callable[[Mapping[str, Any]], object], content: Mapping[str, Any]
) -> tuple[str, Any]:
    """The entry without which, or as 1, a model can be made from its config; and its value.

    Of an entry that is a config itself, the entry in it.
    """
    for name, value in itertools.islice(content.items(), _TRIED):
        rest = {other: content[other] for other in content if other != name}
        if not any(_is_made(make, tried) for tried in (rest, {**rest, name: 1})):
            continue
        if isinstance(value, Mapping):

            def make_inner(part: Mapping[str, Any], name: str = name) -> object:
                return make({**content, name: part})

            inner, found = _culprit(make_inner, value)
            return (f"{name}.{inner}", found) if inner else (name, value)
        return name, value
    return "", None


def _is_made(make: Callable[[Mapping[str, Any]], object], content: Mapping[str, Any]) -> bool:
    try:
        with WithoutMemory():
            make(content)
    except Exception:
        return False
    return True


def kept_in_fp32(model: Any, dtype: torch.dtype | None) -> frozenset[str]:
    """The parts of names that stay float32 where the model is loaded as `dtype`."""
    half = (torch.float16,)
    rules = {"_keep_in_fp32_modules": half, "_keep_in_fp32_modules_strict": (*half, torch.bfloat16)}
    return frozenset(
        part
        for rule, dtypes in rules.items()
        if dtype in dtypes
        for part in getattr(model, rule, None) or ()
    )


def fitted(model: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` under the names that `model` has in the installed release of transformers.

    Files call the same tensor `text_model.encoder.x`, `encoder.x` or (in the safety checker)
    `vision_model.vision_model.encoder.x`, after the release that wrote them.
    """
    section = getattr(model.config, "base_config_key", "")
    halves = {"text_config": ["text_model"], "vision_config": ["vision_model"]}
    wrappers = {*halves.get(section, ["text_model", "vision_model"])}
    wrappers.add(getattr(model, "base_model_prefix", "") or "text_model")

    def bare(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in wrappers)

    expected = model.state_dict().keys()
    by_bare = {bare(name): name for name in expected}
    fit: dict[str, Tensor] = {}
    for name, tensor in state.items():
        known = name if name in expected else by_bare.get(bare(name))
        if known is not None:
            if known == name or known not in state:
                fit[known] = tensor
        elif not name.endswith("position_ids"):  # was saved once, is computed now
            fit[name] = tensor
    return fit


def record_dtype(model: Any) -> None:
    """Let the model's config say which dtype the weights have, as transformers does."""
    halves = (getattr(model.config, name, None) for name in _HALVES)
    for config in (model.config, *halves):
        if hasattr(config, "dtype"):
            config.dtype = model.dtype


def save_model_config(model: Any, folder: Path) -> None:
    """Write `config.json`."""
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    for name in _DROPPED_FROM_SAVED:
        config.__dict__.pop(name, None)
    config.save_pretrained(folder)
