"""The config of an encoder, with the names that programs use of transformers' configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autopipe.frozen_config import FrozenConfig
from autopipe.regular import replaced

_DEFAULTS: Mapping[str, Any] = {
    "architectures": None,
    "chunk_size_feed_forward": 0,
    "dtype": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "problem_type": None,
    "return_dict": True,
    "use_return_dict": True,
}
"""What attributes that all configs of transformers have are without an entry."""


class EncoderConfig(FrozenConfig):
    """The config of an encoder: a dict whose keys are also attributes.

    Attributes have the second names that transformers gives some entries, too, such as
    `hidden_size` for the `d_model` of T5.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "model_type":
            return getattr(self.owner_class(), "model_type", "")
        if name == "name_or_path":
            return self.get("_name_or_path", "")
        name = self._own_name(name)
        return (
            _DEFAULTS[name] if name in _DEFAULTS and name not in self else super().__getattr__(name)
        )

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(self._own_name(name), value)

    def update(self, entries: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Set several entries; each is checked like an argument of the constructor."""
        for name, value in entries.items():
            self[name] = value

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as a file has them: with the model type, without empty ones."""
        entries = {name: _plain(value) for name, value in self.items() if self._is_saved(name)}
        return {**entries, "model_type": self.model_type}

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the same as `to_dict`."""
        return self.to_dict()

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the entries as the text of a `config.json`; `use_diff` has no effect."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Write the entries to a file atomically; `use_diff` has no effect."""
        with replaced(json_file_path) as file:
            file.write_text(self.to_json_string(), encoding="utf-8")

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the entries as `config.json` into the folder `save_directory`."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_json_file(folder / "config.json")

    def _is_saved(self, name: str) -> bool:
        owner: Any = self.owner_class()
        if name.startswith("_") or name in owner.unsaved:
            return False
        return (
            name in owner.init_parameters()
            or name not in _DEFAULTS
            or (self[name] != _DEFAULTS[name])
        )

    def _own_name(self, name: str) -> str:
        aliases: Mapping[str, str] = getattr(self.owner_class(), "config_aliases", {})
        return aliases.get(name, name)


def _plain(value: Any) -> Any:
    """Return `value` as types that JSON has."""
    if isinstance(value, EncoderConfig):
        return value.to_dict()
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return list(value) if isinstance(value, tuple) else value
