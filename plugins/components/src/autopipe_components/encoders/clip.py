"""The base of networks whose config is that of a whole CLIP, with a text and an image half."""

from __future__ import annotations

from typing import Any

from .base import Encoder, encoder_config
from .clip_text import CLIPTextModel
from .clip_vision import CLIPVisionModel

_HALVES: dict[str, type[Encoder]] = {
    "text_config": CLIPTextModel,
    "vision_config": CLIPVisionModel,
}


class CLIPHalves(Encoder):
    """The entries of such a config. The halves are configs, with their entries as attributes.

    Only the half whose network a subclass makes is checked.
    """

    model_type = "clip"

    @encoder_config
    def __init__(
        self,
        text_config: Any = None,
        vision_config: Any = None,
        projection_dim: int = 512,
        logit_scale_init_value: float = 2.6592,
        initializer_factor: float = 1.0,
    ) -> None:
        super().__init__()
        given = {"text_config": text_config, "vision_config": vision_config}
        self.register_to_config(
            **{name: half.complete_config(given[name]) for name, half in _HALVES.items()}
        )
        self.make_layers()

    @classmethod
    def own_entries(cls, config: Any) -> dict[str, Any]:
        entries = super().own_entries(config)
        for name, half in _HALVES.items():
            # Early configs have some entries of a half a second time. They and defaults win.
            again = entries.pop(f"{name}_dict", None)
            if again is not None:
                entries[name] = {**(entries.get(name) or {}), **half.complete_config(again)}
        return entries
