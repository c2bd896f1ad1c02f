"""What files really are, where they are not what their names or their place say.

Told from the first bytes of a file, and for a folder from the names in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...wording import cut

_SAFETENSORS = "a safetensors file"
_PICKLED = "a pickled file of PyTorch"

_STARTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    # A length of less than 4 GB, then JSON.
    (re.compile(rb"....\0\0\0\0\{", re.DOTALL), _SAFETENSORS),
    (re.compile(rb"PK\x03\x04|\x80[\x02-\x05]", re.DOTALL), _PICKLED),
    (re.compile(rb"GGUF"), "a file of llama.cpp (GGUF)"),
    (re.compile(rb"\x89HDF\r\n"), "a file of TensorFlow or Keras (HDF5)"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd"), "a compressed archive"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "a picture"),
)
_EXPECTED = {
    ".safetensors": frozenset({_SAFETENSORS}),
    ".bin": frozenset({_PICKLED}),
}

_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r".*lora.*\.(safetensors|bin)|adapter_(model\..*|config\.json)", re.IGNORECASE),
        "{name} holds an adapter (LoRA), which attaches to a pipeline and is not a checkpoint of "
        "its own; load the checkpoint that it was trained on",
    ),
    (
        re.compile(r".*\.gguf"),
        "{name} is in the format of llama.cpp (GGUF), which is not supported; take the safetensors "
        "of the model that it was made from",
    ),
    (
        re.compile(r".*\.onnx(_data)?|.*\.onnx\.data"),
        "{name} is for ONNX Runtime; take a revision with safetensors, or the repository that it "
        "was exported from",
    ),
    (
        re.compile(r"openvino_.*"),
        "{name} is for OpenVINO; take the repository that it was exported from",
    ),
    (
        re.compile(r".*\.msgpack"),
        "{name} holds weights of Flax; take a revision with safetensors",
    ),
    (
        re.compile(r".*\.(h5|keras|tflite|pb)"),
        "{name} holds weights of TensorFlow; take a revision with safetensors",
    ),
    (
        re.compile(r".*\.(safetensors|ckpt|pt|pth)"),
        "{name} may be a whole model in one file, as its authors' own code reads it; give the path "
        "of that file, or take the folder of the same model that has a model_index.json",
    ),
)


def misnamed(name: str, start: bytes) -> str:
    """What a weight file called `name` really is, and what to do; empty if it may be right.

    Args:
        start: its first bytes, 16 or more.
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
        shards = ", and in its index too" if "-of-" in name else ""
        return f"is {kind} under another name; call it {better}{shards}"
    if kind == "a web page":
        return (
            "is a web page, as a download gives that needed a login or went to the wrong address; "
            "fetch this file again"
        )
    return f"is {kind}, not what its name says; fetch this file again"


def found_instead(names: Iterable[str], folder: object) -> str:
    """What `folder` has in place of the expected files, and what to do; empty if nothing known.

    Args:
        names: of the files in it.
    """
    every = sorted(names)
    for pattern, told in _NAMES:
        for name in every:
            if pattern.fullmatch(name):
                return cut(told.replace("{name}", f"{folder}/{name}"), 600)
    return ""


_LAYOUTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r".*\blora_\w+\b.*|.*_lora\..*|lora_\w+\..*|.*\.(oft|hada|lokr)_\w+.*"),
        "The names are those of an adapter (LoRA), which attaches to a pipeline and is not a "
        "network; load the checkpoint that it was trained on",
    ),
    (
        re.compile(
            r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner|control_model|"
            r"model_ema|text_encoders|vae)\..*"
        ),
        "The names are those of a whole model in one file, as its authors' own code reads it; take "
        "the folder of the same model that has a model_index.json",
    ),
    (
        re.compile(r".*\.(absmax|quant_map|quant_state\..*|SCB|qweight|qzeros|scale_weight)"),
        "The names are those of quantized weights, which are not supported; take a checkpoint "
        "without quantization",
    ),
)


def layout_of(names: Iterable[str]) -> str:
    """What tensors of these names are of, and what to do; empty if nothing known."""
    every = list(names)
    for pattern, told in _LAYOUTS:
        if any(pattern.fullmatch(name) for name in every):
            return told
    return ""


_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""What DataParallel, `torch.compile` and FSDP put into the names of the tensors of a network."""


def plain_tensor_name(name: str) -> str:
    """The name of a tensor without what wrappers of its network put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
