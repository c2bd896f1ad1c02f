"""Recognises files whose content is not what their name or place suggests.

Files are recognised by their first bytes, and folders by the names of their files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...wording import cut, shown

SAFE = ".safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
"""The endings of files of tensors."""
GGUF = ".gguf"
"""The ending of files of llama.cpp, whose tensors are quantized."""

_SAFETENSORS = "a safetensors file"
_PICKLED = "a PyTorch pickle"

_STARTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    # A length of less than 4 GB, then JSON.
    (re.compile(rb"....\0\0\0\0\{", re.DOTALL), _SAFETENSORS),
    (re.compile(rb"PK\x03\x04|\x80[\x02-\x05]", re.DOTALL), _PICKLED),
    (re.compile(rb"GGUF"), "a file of llama.cpp (GGUF)"),
    (re.compile(rb"\x89HDF\r\n"), "a file of TensorFlow or Keras (HDF5)"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd"), "a compressed archive"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "an image"),
)
_EXPECTED = {
    SAFE: frozenset({_SAFETENSORS}),
    **dict.fromkeys(PICKLED, frozenset({_PICKLED})),
}

_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r".*lora.*\.(safetensors|bin)|adapter_(model\..*|config\.json)", re.IGNORECASE),
        "{name} contains an adapter (LoRA), which is not a checkpoint of its own; load the "
        "checkpoint that it was trained on, and call load_lora_weights of the pipeline",
    ),
    (
        re.compile(r".*\.onnx(_data)?|.*\.onnx\.data"),
        "{name} is for ONNX Runtime; use a revision with safetensors, or the repository from which "
        "it was exported",
    ),
    (
        re.compile(r"openvino_.*"),
        "{name} is for OpenVINO; use the repository from which it was exported",
    ),
    (
        re.compile(r".*\.msgpack"),
        "{name} contains weights of Flax; use a revision with safetensors",
    ),
    (
        re.compile(r".*\.(h5|keras|tflite|pb)"),
        "{name} contains weights of TensorFlow; use a revision with safetensors",
    ),
    (
        re.compile(r".*\.(safetensors|ckpt|pt|pth)"),
        "{name} may be a single-file checkpoint in the layout of its authors; give the path of "
        "that file to from_single_file, or use the folder of the same checkpoint that has a "
        "model_index.json",
    ),
)


def misnamed(name: str, start: bytes) -> str:
    """Return what a weight file called `name` really is and what to do; empty if nothing is wrong.

    Args:
        start: the first bytes of the file, at least 16.
    """
    suffix = name[name.rfind(".") :]
    kind = next((kind for pattern, kind in _STARTS if pattern.match(start)), None)
    if suffix not in _EXPECTED or kind is None or kind in _EXPECTED[suffix]:
        return ""
    if kind in (_SAFETENSORS, _PICKLED):
        right = ".safetensors" if kind == _SAFETENSORS else ".bin"
        better = name.removesuffix(suffix) + right
        if kind == _SAFETENSORS and better.startswith("pytorch_"):  # of transformers
            better = better.removeprefix("pytorch_")
        shards = ", also in its index" if "-of-" in name else ""
        return f"is {kind} with the wrong name; rename it to {better}{shards}"
    if kind == "a web page":
        return (
            "is a web page, probably because a download needed a login or had the wrong URL; fetch "
            "this file again"
        )
    return f"is {kind}, not what its name says; fetch this file again"


def found_instead(names: Iterable[str], folder: object) -> str:
    """Return what `folder` has in place of the expected files and what to do; empty if unknown.

    Args:
        names: the names of its files.
    """
    every = sorted(names)
    for pattern, text in _NAMES:
        for name in every:
            if pattern.fullmatch(name):
                return cut(text.replace("{name}", f"{folder}/{name}"), 600)
    return ""


EMBEDDING = (
    "contains an embedding of textual inversion; load the checkpoint that it was trained on, and "
    "call load_textual_inversion of the pipeline"
)

_LAYOUTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r".*\blora_\w+\b.*|.*_lora\..*|lora_\w+\..*|.*\.(oft|hada|lokr)_\w+.*"),
        "The names are those of an adapter (LoRA), which is not a network; load the checkpoint "
        "that it was trained on, and call load_lora_weights of the pipeline",
    ),
    (
        re.compile(r"(ip_adapter|image_proj)\..*"),
        "The names are those of an IP-Adapter; load the checkpoint that it was trained on, and "
        "call load_ip_adapter of the pipeline",
    ),
    (
        re.compile(r"emb_params|clip_[lg]|<.*>"),
        "The names are those of an embedding of textual inversion; load the checkpoint that it was "
        "trained on, and call load_textual_inversion of the pipeline",
    ),
    (
        re.compile(
            r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner|control_model|"
            r"model_ema|text_encoders|vae)\..*"
        ),
        "The names are those of a single-file checkpoint in the layout of its authors; load the "
        "file with from_single_file",
    ),
)

# The first that fits names the method; those with more telling names come first.
_QUANTIZED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*\.(absmax|quant_map|nested_\w+|quant_state\..*|SCB)"), "bitsandbytes"),
    (re.compile(r".*\.(w(c|t)?scales?|wzeros|smooth_factor(_orig)?)"), "SVDQuant"),
    (re.compile(r".*\.(qweight|qzeros|g_idx)"), "GPTQ or AWQ"),
    (re.compile(r"scaled_fp8|.*\.(scale_weight|scale_input|comfy_quant)"), "scaled float8"),
    (re.compile(r".*\.weight\._(data|scale|shift)|.*\.activation_qtype"), "quanto"),
    (re.compile(r".*[:.]_?(weight_)?(qdata|zero_point)|.*:(_data|_scale|scale)"), "torchao"),
    (re.compile(r".*\.\w+_quantizer\._.*"), "ModelOpt"),
    (re.compile(r".*\.weight_packed"), "compressed-tensors"),
    (re.compile(r".*\.(weight_scale(_inv|_2)?|input_scale)"), "float8 with scales"),
)

QUANTIZED_DTYPES = frozenset({"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})
"""The dtypes of safetensors that only quantized weights have."""


def quantization_of(config: Mapping[str, Any]) -> str:
    """Return what quantized the weights of a network with this config; empty if nothing did."""
    given = config.get("quantization_config")
    if given is None:
        return ""
    method = given.get("quant_method") if isinstance(given, Mapping) else None
    return shown(method or "by its config")


def layout_of(names: Iterable[str]) -> str:
    """Return what tensors with these names belong to and what to do; empty if unknown."""
    every = list(names)
    for pattern, text in _LAYOUTS:
        if any(pattern.fullmatch(name) for name in every):
            return text
    return ""


def quantized_by(names: Iterable[str]) -> str:
    """Return the method that quantized weights with these names; empty if none did."""
    every = list(names)
    for pattern, method in _QUANTIZED:
        if any(pattern.fullmatch(name) for name in every):
            return method
    return ""


def gguf_among(names: Iterable[str]) -> str:
    """Return the first file of llama.cpp in a folder; empty if there is none, or other weights."""
    every = sorted(names)
    if any(name.endswith((SAFE, *PICKLED)) for name in every):
        return ""
    return next((name for name in every if name.lower().endswith(GGUF)), "")


def is_gguf(start: bytes) -> bool:
    """Whether a file with these first bytes has the format of llama.cpp."""
    return start.startswith(b"GGUF")


_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""The parts that DataParallel, `torch.compile` and FSDP add to the names of tensors."""


def plain_tensor_name(name: str) -> str:
    """Return the name of a tensor without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
