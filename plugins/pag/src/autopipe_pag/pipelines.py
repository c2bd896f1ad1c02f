"""The pipeline classes with perturbed-attention guidance, made when they are asked for.

Each is the class without it, with the add-on attached.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, get_type_hints

import autopipe
from autopipe.attaching.attachment import Attachment
from autopipe.pipeline.base import DiffusionPipeline

from .family import PIPELINES
from .layers import checked_layers, self_attention
from .perturbed import PerturbedAttention


class PAGMixin(DiffusionPipeline):
    """A pipeline with perturbed-attention guidance.

    Args:
        pag_applied_layers: the layers to degrade; see `PerturbedAttention`.

    Calls take `pag_scale` (3 by default) and `pag_adaptive_scale` (0 by default).
    """

    def __init__(self, *args: Any, pag_applied_layers: str | list[str] = "mid", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.set_pag_applied_layers(pag_applied_layers)

    @property
    def pag_applied_layers(self) -> list[str]:
        """The patterns of the layers to degrade."""
        return list(checked_layers(self.options["pag_applied_layers"]))

    def set_pag_applied_layers(self, pag_applied_layers: str | list[str]) -> None:
        """Choose the layers to degrade, for this pipeline.

        Raises:
            ArgumentError: if no self-attention layer of the U-Net fits a pattern.
            ArgumentTypeError: if it is neither a string nor a list of strings.
        """
        PerturbedAttention(pag_applied_layers).check(self)
        self.register_to_config(pag_applied_layers=pag_applied_layers)

    @property
    def pag_attn_processors(self) -> dict[str, Any]:
        """The processors of the layers to degrade, by their names in `unet.attn_processors`."""
        unet = self.components["unet"]
        names = [f"{path}.processor" for path in self_attention(unet, self.pag_applied_layers)]
        return {name: unet.attn_processors[name] for name in names}

    own_attachments: ClassVar[Mapping[str, Callable[[Any], Attachment]]] = {
        "pag": lambda pipe: PerturbedAttention(pipe.options["pag_applied_layers"])
    }


if TYPE_CHECKING:
    # For type checkers, which don't see classes that are made when they are asked for.
    StableDiffusionPAGPipeline: TypeAlias = PAGMixin
    StableDiffusionPAGImg2ImgPipeline: TypeAlias = PAGMixin
    StableDiffusionPAGInpaintPipeline: TypeAlias = PAGMixin
    StableDiffusionControlNetPAGPipeline: TypeAlias = PAGMixin
    StableDiffusionControlNetPAGImg2ImgPipeline: TypeAlias = PAGMixin
    StableDiffusionControlNetPAGInpaintPipeline: TypeAlias = PAGMixin
    StableDiffusionXLPAGPipeline: TypeAlias = PAGMixin
    StableDiffusionXLPAGImg2ImgPipeline: TypeAlias = PAGMixin
    StableDiffusionXLPAGInpaintPipeline: TypeAlias = PAGMixin
    StableDiffusionXLControlNetPAGPipeline: TypeAlias = PAGMixin
    StableDiffusionXLControlNetPAGImg2ImgPipeline: TypeAlias = PAGMixin
    StableDiffusionXLControlNetPAGInpaintPipeline: TypeAlias = PAGMixin


def __getattr__(name: str) -> Any:
    base = {one.name: one.base for one in PIPELINES}.get(name)
    if base is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    plain = getattr(autopipe, base)
    members = {
        "__module__": __name__,
        "__doc__": f"`{base}` with perturbed-attention guidance; see `PAGMixin`.",
        "__init__": _constructor(plain),
    }
    return globals().setdefault(name, type(name, (PAGMixin, plain), members))


def _constructor(plain: type) -> Callable[..., None]:
    """Return the constructor of `PAGMixin`, which names the parameters of `plain` too."""

    def __init__(self: PAGMixin, *args: Any, **kwargs: Any) -> None:
        PAGMixin.__init__(self, *args, **kwargs)

    added = inspect.signature(PAGMixin.__init__).parameters["pag_applied_layers"]
    signature = inspect.signature(plain.__init__)  # type: ignore[misc]
    own = signature.replace(parameters=[*signature.parameters.values(), added])
    __init__.__signature__ = own  # type: ignore[attr-defined]
    hints = get_type_hints(plain.__init__, include_extras=True)  # type: ignore[misc]
    __init__.__annotations__ = {**hints, added.name: str | list[str]}
    return __init__
