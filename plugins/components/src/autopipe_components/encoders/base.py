"""The base of encoders whose checkpoints are those of a class of transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from autopipe.checkpoint.foreign.models import renamed, usable
from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.modeling import ModelMixin
from autopipe.wording import shown

from ..adapters import Adapters
from .config import EncoderConfig
from .embeddings import TokenEmbeddings
from .limits import LIMITS
from .twin import twin_of


def encoder_config(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate `__init__` like `register_to_config`, and accept a config in place of keywords.

    It may be one of transformers, or a dict. Of a text-and-image model, the encoder's half counts.
    """
    recorded = register_to_config(init)

    @functools.wraps(init)
    def made(self: Encoder, config: Any = None, /, **entries: Any) -> None:
        found = {} if config is None else self.own_entries(config)
        known = {name: found.pop(name) for name in self.init_parameters() if name in found}
        recorded(self, **{**known, **entries})
        if found:
            self.register_to_config(**found)

    return made


class Encoder(Adapters, TokenEmbeddings, ModelMixin):
    """A network whose config and weights are those of a class of transformers.

    Subclasses declare the entries of the config as the parameters of `__init__`, and make their
    layers of `self.config` in `make_layers`.

    Attributes:
        model_type: the `model_type` of the config.
        config_section: the name of the config's half that belongs to this network, if it may be
            that of a text-and-image model.
        config_aliases: second names of config entries.
        unsaved: the parameters of `__init__` that a saved config doesn't have.
        wrappers: parts of tensor names that only some releases of transformers write.
        main_input_name: the first parameter of `forward`.
        twin: the class of transformers with the same checkpoints; None if there isn't one.
    """

    weights_name = "model"
    pickle_name = "pytorch_model"
    config_limits = LIMITS
    config_type = EncoderConfig
    _supports_gradient_checkpointing = True

    model_type: ClassVar[str]
    config_section: ClassVar[str] = ""
    config_aliases: ClassVar[Mapping[str, str]] = {}
    unsaved: ClassVar[frozenset[str]] = frozenset()
    wrappers: ClassVar[frozenset[str]] = frozenset()
    main_input_name: ClassVar[str] = "input_ids"
    twin: ClassVar[str | None] = None

    if TYPE_CHECKING:

        @property
        def config(self) -> EncoderConfig: ...

    @property
    def name_or_path(self) -> str:
        """The folder from which it was loaded; empty if it wasn't."""
        return str(self.config.name_or_path)

    @classmethod
    def own_entries(cls, config: Any) -> dict[str, Any]:
        """Return the entries of `config` that this class may use.

        Raises:
            ArgumentTypeError: if it is not a config.
            ConfigError: if it describes quantized weights.
        """
        found = config.to_dict() if hasattr(config, "to_dict") else config
        if not isinstance(found, Mapping):
            raise ArgumentTypeError(
                f"{cls.__name__} takes a config, such as that of another encoder, or its entries "
                f"as keywords, not {shown(config)}"
            )
        entries = usable(found, "the config", cls.config_section)
        own = {cls.config_aliases.get(name, name): entries[name] for name in entries}
        return {name: value for name, value in own.items() if name not in _NOT_KEPT}

    @classmethod
    def complete_config(cls, config: Any) -> EncoderConfig:
        """Return the config that `cls(config)` has, without checking the entries."""
        entries = {} if config is None else cls.own_entries(config)
        defaults = {name: one.default for name, one in cls.init_parameters().items()}
        return EncoderConfig.of(cls, {**defaults, **entries})

    @classmethod
    def from_config(cls, config: Any, return_unused_kwargs: bool = False, **overrides: Any) -> Any:
        """Construct an encoder from a config, which may be one of transformers.

        Arguments and errors are those of `ModelMixin.from_config`.
        """
        entries = config if isinstance(config, (str, Path)) else cls.own_entries(config)
        base: Any = super()
        return base.from_config(entries, return_unused_kwargs, **overrides)

    def make_layers(self) -> None:
        """Make the layers of this network from its config."""
        raise NotImplementedError

    def to_json_string(self) -> str:
        """Return the config as saved, which transformers and diffusers read."""
        entries = EncoderConfig.of(type(self), self.config)
        entries.update({"architectures": [type(self).__name__], "dtype": self.dtype})
        return entries.to_json_string()

    def fitted_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return renamed(state, self.state_dict().keys(), self.wrappers)

    def record_origin(self, folder: Path) -> None:
        super().record_origin(folder)
        self.register_to_config(dtype=self.dtype)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Do the same as `enable_gradient_checkpointing`; the argument has no effect."""
        self.enable_gradient_checkpointing()

    def gradient_checkpointing_disable(self) -> None:
        """Do the same as `disable_gradient_checkpointing`."""
        self.disable_gradient_checkpointing()

    def to_transformers(self) -> Any:
        """Return an object of transformers' class with the same tensors, in the same mode.

        It imports transformers. Both objects share every parameter, so what is trained in one
        changes the other, until one is moved or cast.

        Raises:
            ArgumentError: if transformers has no such class, or adapters or offloading have
                replaced tensors.
        """
        return twin_of(self)

    def wants_states(self, asked: bool | None, attentions: bool | None) -> bool:
        """Return whether a call returns all hidden states.

        Raises:
            ArgumentError: if it is asked for attention weights.
        """
        if attentions:
            raise ArgumentError(
                f"{type(self).__name__} doesn't compute attention weights; call to_transformers(), "
                f"and set_attn_implementation('eager') on the result, which does"
            )
        return bool(self.config.output_hidden_states if asked is None else asked)


_NOT_KEPT = frozenset({"model_type", "torch_dtype", "transformers_version", "attn_implementation"})
"""Entries that describe the file, or how transformers computes."""
