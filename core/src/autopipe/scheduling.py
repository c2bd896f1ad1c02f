"""The base of schedulers: a config, a schedule of timesteps, and one step at a time.

A pipeline's scheduler is a prototype. Every call uses its own `copy()`, so calls never share the
state of `set_timesteps` and `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from .checkpoint.configs import StoredConfig
from .checkpoint.hub.upload import PushToHubMixin
from .kinds import BaseScheduler

if TYPE_CHECKING:
    from torch import Tensor

_Self = TypeVar("_Self", bound="SchedulerMixin")


class SchedulerMixin(BaseScheduler, StoredConfig, PushToHubMixin):
    """The base of all schedulers.

    A scheduler has `timesteps` (1-D tensor, descending), `init_noise_sigma` (the standard
    deviation of the first latents), `order` (timesteps per solver step), and the methods
    `set_timesteps`, `scale_model_input`, `step` and `add_noise`.
    """

    has_compatibles: ClassVar[bool] = True
    """Whether this class can be made from the configs of others."""
    config_kind: ClassVar[str] = "diffusion"
    """Classes of one kind can be made from each other's configs: what they mean is the same."""
    listed: ClassVar[bool] = True
    """Whether the compatibles of other classes name it; not if it draws the pictures of another
    class, or none."""
    order: int = 1
    init_noise_sigma: float | Tensor = 1.0
    timesteps: Tensor
    set_timesteps: Callable[..., None]
    scale_model_input: Callable[..., Tensor]
    step: Callable[..., Any]
    add_noise: Callable[..., Tensor]

    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        subfolder: str | None = None,
        *,
        return_unused_kwargs: Literal[True],
        **kwargs: Any,
    ) -> tuple[_Self, dict[str, Any]]: ...
    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        subfolder: str | None = None,
        return_unused_kwargs: Literal[False] = False,
        **kwargs: Any,
    ) -> _Self: ...
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        subfolder: str | None = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a scheduler from a folder or Hub repository with a `scheduler_config.json`.

        Keywords that are constructor parameters override the file; those of the Hub (`revision`,
        `token`, `cache_dir`, ...) select the repository's files.
        """
        from .checkpoint.checkpoint import load_scheduler

        return load_scheduler(
            cls,
            pretrained_model_name_or_path,
            subfolder=subfolder,
            return_unused_kwargs=return_unused_kwargs,
            **kwargs,
        )

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Write `scheduler_config.json` into `save_directory`."""
        from .checkpoint.save import SaveOptions, save_scheduler

        save_scheduler(self, save_directory, SaveOptions(push_to_hub=push_to_hub, hub=kwargs))

    @property
    def compatibles(self) -> list[type[SchedulerMixin]]:
        """The installed scheduler classes that can be created from this scheduler's config."""
        from .registry import default_registry

        return default_registry().compatible_schedulers(type(self))

    def __len__(self) -> int:
        return int(self.config["num_train_timesteps"])
