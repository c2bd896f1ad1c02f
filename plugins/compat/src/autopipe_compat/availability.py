"""Which optional packages are installed: `is_accelerate_available`, `is_torch_version` and others.

Those that `autopipe` itself exports are made here, and the others when they are asked for.
"""

from __future__ import annotations

import functools
import importlib.util
import operator
import re
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.version import Version

from autopipe.errors import ArgumentError, MissingPackageError
from autopipe.wording import listed, shown

_SAME = (
    "accelerate auto_round av better_profanity bitsandbytes bs4 compel cosmos_guardrail flash_attn "
    "flash_attn_3 flashpack ftfy gguf imageio inflect jinja2 kernels kornia librosa matplotlib "
    "nltk note_seq outlines peft pytorch_retinaface safetensors sageattention scipy sdnq "
    "sentencepiece tensorboard timm torch torch_mlu torch_neuronx torch_npu torch_tpu torch_xla "
    "torchao torchsde torchvision transformers unidecode wandb xformers"
)

PACKAGES: dict[str, tuple[str, str]] = {
    **{name: (name, name) for name in _SAME.split()},
    "flashinfer": ("flashinfer", "flashinfer-python"),
    "flax": ("jax", "jax"),
    "hf_hub": ("huggingface_hub", "huggingface_hub"),
    "hpu": ("habana_frameworks", "habana_frameworks"),
    "invisible_watermark": ("imwatermark", "invisible-watermark"),
    "k_diffusion": ("k_diffusion", "k-diffusion"),
    "nvidia_modelopt": ("modelopt", "nvidia-modelopt"),
    "omegaconf": ("omegaconf", "omegaconf"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "opencv": ("cv2", "opencv-python"),
    "optimum_quanto": ("optimum.quanto", "optimum-quanto"),
}
"""By the name in the function: the module that shows the package, and the name to install."""

_COMPARED: dict[str, Callable[[Version, Version], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    "<": operator.lt,
}

_NAME = re.compile(r"is_(\w+)_(available|version)")


class OptionalDependencyNotAvailable(BaseException):
    """For programs that import a name in a `try`, and raise this where a package is absent."""


def is_google_colab() -> bool:
    """Whether the program runs in a notebook of Google Colab."""
    return _is_here("google.colab")


def compare_versions(
    library_or_version: str | Version, operation: str, requirement_version: str
) -> bool:
    """Compare the version of an installed package, or a version, with another.

    Args:
        operation: one of `<`, `<=`, `==`, `!=`, `>=` and `>`.

    Raises:
        ArgumentError: if `operation` is another one.
        PackageNotFoundError: if the package is not installed.
    """
    if operation not in _COMPARED:
        raise ArgumentError(
            f"there is no comparison {shown(operation)}; give one of {listed(_COMPARED)}"
        )
    if not isinstance(library_or_version, Version):
        library_or_version = Version(version(library_or_version))
    return _COMPARED[operation](library_or_version, Version(requirement_version))


def requires_backends(obj: Any, backends: str | Iterable[str]) -> None:
    """Check that packages are installed, by the names that `PACKAGES` has.

    Raises:
        MissingPackageError: if one is not; the message names `obj`.
    """
    names = [backends] if isinstance(backends, str) else list(backends)
    absent = [PACKAGES.get(n, (n, n))[1] for n in names if not _is_here(PACKAGES.get(n, (n, n))[0])]
    if absent:
        what = getattr(obj, "__name__", type(obj).__name__)
        raise MissingPackageError(
            f"{what} needs the package {listed(absent)}. Run: python -m pip install "
            f"{' '.join(absent)}"
        )


@functools.cache
def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def _has_version(dist: str, operation: str, wanted: str) -> bool:
    try:
        return compare_versions(dist, operation, wanted)
    except PackageNotFoundError:
        return False


def _availability(module: str, dist: str) -> Callable[[], bool]:
    def is_available() -> bool:
        return _is_here(module)

    is_available.__doc__ = f"Whether {dist} is installed."
    return is_available


def _version_check(module: str, dist: str) -> Callable[[str, str], bool]:
    def is_version(operation: str, version: str) -> bool:
        return _has_version(dist, operation, version)

    is_version.__doc__ = f"Whether {dist} is installed in a version that compares in this way."
    return is_version


@functools.cache
def _function(name: str) -> Any:
    """Return the function called `is_NAME_available` or `is_NAME_version`; None for other names."""
    found = _NAME.fullmatch(name)
    kind = {"jinja": "jinja2"}.get(found[1], found[1]) if found else ""
    if found is None or kind not in PACKAGES:
        return None
    made = (_availability if found[2] == "available" else _version_check)(*PACKAGES[kind])
    made.__name__ = made.__qualname__ = name
    return made


is_inflect_available = _function("is_inflect_available")
is_invisible_watermark_available = _function("is_invisible_watermark_available")
is_librosa_available = _function("is_librosa_available")
is_note_seq_available = _function("is_note_seq_available")
is_onnx_available = _function("is_onnx_available")
is_scipy_available = _function("is_scipy_available")
is_torch_available = _function("is_torch_available")
is_torchsde_available = _function("is_torchsde_available")
is_transformers_available = _function("is_transformers_available")
is_transformers_version = _function("is_transformers_version")
is_unidecode_available = _function("is_unidecode_available")


def __getattr__(name: str) -> Any:
    made = _function(name)
    if made is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return made
