"""Loads configs of networks and schedulers from folders, files and repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import ConfigMixin
from ..regular import is_file


class StoredConfig(ConfigMixin):
    """Gives classes with a config a `load_config` that also accepts Hub repositories."""

    @classmethod
    def load_config(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Any:
        """Return the config in a folder, a file or a Hub repository, as a dict.

        Accepts `subfolder`, the keywords of the Hub, `return_unused_kwargs` and
        `return_commit_hash`.

        Raises:
            CheckpointError: if the repository or the file can't be reached.
            ConfigError: if the file is absent or not a valid config.
        """
        if is_file(pretrained_model_name_or_path):
            return super().load_config(pretrained_model_name_or_path, *args, **kwargs)
        from .checkpoint import load_config

        return load_config(cls, pretrained_model_name_or_path, *args, **kwargs)
