"""Configs of models and schedulers, wherever they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import ConfigMixin
from ..regular import is_file


class StoredConfig(ConfigMixin):
    """Gives whatever has a config a `load_config` that looks into repositories too."""

    @classmethod
    def load_config(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Any:
        """The config in a folder, a file or a repository of the Hub, as a dict.

        Takes `subfolder`, the keywords of the Hub, `return_unused_kwargs` and
        `return_commit_hash`.

        Raises:
            CheckpointError, ConfigError: it is absent, or not a config.
        """
        if is_file(pretrained_model_name_or_path):
            return super().load_config(pretrained_model_name_or_path, *args, **kwargs)
        from .checkpoint import load_config

        return load_config(cls, pretrained_model_name_or_path, *args, **kwargs)
