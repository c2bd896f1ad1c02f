"""The base of every pipeline: components, config, views, placement, progress.

A pipeline's constructor parameters are its component list: those without a default, and those
that the class lists in `_optional_components`, are *modules*; the others are *options*. A
component is an attribute, a subfolder of the checkpoint and a key of its `model_index.json`,
all of the same name.
"""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..checkpoint.hub.upload import PushToHubMixin
from ..config import FORMAT_VERSION, ConfigMixin, FrozenConfig
from ..errors import ArgumentError, CancelledError, check_names
from ..kinds import check_given, shared
from ..registry import default_registry
from .memory import MemoryMixin
from .pool import Pool, guard

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from .call import Arguments

_Self = TypeVar("_Self", bound="DiffusionPipeline")


class DiffusionPipeline(MemoryMixin, ConfigMixin, PushToHubMixin):
    """Loads, saves, moves and switches a set of components that work together.

    A subclass declares its components in the constructor, calls `register_modules` and
    `register_to_config` there, and decorates its `__call__` with `pipeline_call`.
    """

    config_name: ClassVar[str | None] = "model_index.json"
    _optional_components: ClassVar[tuple[str, ...]] = ()
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)

    scheduler: Any
    call: Arguments
    """Inside a call: its arguments."""
    _carried: dict[str, Any]
    _origins: dict[str, str]
    _progress_bar_config: dict[str, Any]
    _calls: set[DiffusionPipeline]
    _calls_lock: threading.Lock
    _interrupted: bool
    _cancelled: bool
    _num_timesteps: int
    _whole: DiffusionPipeline | None

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        # State that must be there before any constructor registers something.
        self = super().__new__(cls)
        state = self.__dict__
        state.update(_pool=Pool(), _calls=set(), _calls_lock=threading.Lock())
        state.update(_carried={}, _origins={}, _progress_bar_config={}, _whole=None)
        self._reset_call_state()
        return self

    # What the class declares

    @classmethod
    def module_names(cls) -> tuple[str, ...]:
        """The constructor parameters that are components, in their order."""
        return tuple(
            name
            for name, parameter in cls.init_parameters().items()
            if parameter.default is inspect.Parameter.empty or name in cls._optional_components
        )

    @classmethod
    def optional_components(cls) -> tuple[str, ...]:
        """The components that may be None."""
        return tuple(name for name in cls.module_names() if name in cls._optional_components)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The constructor parameters that are plain values."""
        modules = cls.module_names()
        return tuple(name for name in cls.init_parameters() if name not in modules)

    def register_modules(self, **modules: Any) -> None:
        """Take the components; called by constructors."""
        for name, module in modules.items():
            setattr(self, name, module)
        self._pool.join(self)

    # What the object holds

    @property
    def components(self) -> dict[str, Any]:
        """The components by name, absent ones as None."""
        self._pool.check_open(self)
        return {name: self.__dict__.get(name) for name in self.module_names()}

    @property
    def options(self) -> Mapping[str, Any]:
        """The options by name."""
        return MappingProxyType({name: self._config.get(name) for name in self.option_names()})

    @property
    def origins(self) -> Mapping[str, str]:
        """Where the components were loaded from: folders, and repositories with their commit.

        The key is empty for the checkpoint itself; of a further one, it is the stage that it is
        (`"prior"`, for example).
        """
        return MappingProxyType(self._origins)

    @property
    def config(self) -> FrozenConfig:
        """The entries of the index: a pair (library, class) for each component, and the options."""
        return FrozenConfig({**self._entries(), **{n: self._pair(n) for n in self.components}})

    def index(self) -> dict[str, Any]:
        """The content of this pipeline's `model_index.json`.

        Raises:
            ArgumentError: a component is of a class that no installed family declares.
        """
        for name, component in self.components.items():
            if component is not None and default_registry().identity(type(component)) is None:
                raise ArgumentError(
                    f"the component {name!r} is a {type(component).__name__}, which no installed "
                    f"family declares, so an index can't name it"
                )
        return self._entries()

    def _entries(self) -> dict[str, Any]:
        pipeline = default_registry().pipeline_of(type(self))
        entries = {**{name: list(self._pair(name)) for name in self.components}, **self.options}
        return {
            "_class_name": pipeline.name if pipeline else type(self).__name__,
            "_diffusers_version": FORMAT_VERSION,
            **dict(sorted(entries.items())),
        }

    def _pair(self, name: str) -> tuple[str | None, str | None]:
        """Library and class of a component; by its module where no family declares it."""
        component = self.components[name]
        if component is None:
            return None, None
        cls = type(component)
        library, class_name = default_registry().identity(cls) or (cls.__module__, cls.__name__)
        from ..checkpoint.transformers import LIBRARY, saved_name

        return library, saved_name(class_name) if library == LIBRARY else class_name

    def to_json_string(self) -> str:
        """The index as JSON."""
        return json.dumps(self._entries(), indent=2) + "\n"

    def __repr__(self) -> str:
        if self._pool.closed:
            return f"{type(self).__name__} (closed)"
        return f"{type(self).__name__} {self.to_json_string()}"

    def __getattr__(self, name: str) -> Any:
        if name in type(self).module_names():
            self._pool.check_open(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Loading and saving

    @classmethod
    def from_pretrained(
        cls: type[_Self], pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> Any:
        """Load the pipeline of a checkpoint, in evaluation mode.

        Called on `DiffusionPipeline` it loads the class that the checkpoint names; called on a
        subclass, that class.

        Args:
            pretrained_model_name_or_path: a local folder, a repository id of the Hub, or
                `"demo:<family>"` for the small checkpoint that a family ships.
            **kwargs: components and options of the class by name, and the keywords of
                `autopipe.checkpoint.options.LoadOptions` (`torch_dtype`, `variant`, ...).
        """
        from ..checkpoint.checkpoint import Checkpoint

        checkpoint = Checkpoint.open(pretrained_model_name_or_path, kwargs)
        return checkpoint.load(checkpoint.plan(cls))

    @classmethod
    def download(cls, pretrained_model_name: str | Path, **kwargs: Any) -> str:
        """Fetch what `from_pretrained` would read with the same arguments, and load nothing.

        Args:
            pretrained_model_name: a repository id of the Hub.
            **kwargs: as for `from_pretrained`; components that are given are not fetched.

        Returns:
            The local folder, in the cache of huggingface_hub.
        """
        from ..checkpoint.checkpoint import Checkpoint

        return str(Checkpoint.open(pretrained_model_name, kwargs).plan(cls).run())

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        **hub: Any,
    ) -> None:
        """Write the checkpoint into `save_directory`, whole or not at all.

        Args:
            save_directory: the folder to write.
            safe_serialization: safetensors, or (False) pickled state dicts.
            variant: goes into the names of the weight files.
            max_shard_size: bytes, or text such as `"5GB"`; larger weights are split.
            push_to_hub: upload afterwards, as `push_to_hub` does; `repo_id` is the folder's name
                by default.
            **hub: `repo_id`, `commit_message`, `private`, `token`, `create_pr`.
        """
        from ..checkpoint.save import SaveOptions, save_pipeline

        size = "10GB" if max_shard_size is None else max_shard_size
        options = SaveOptions(safe_serialization, variant, size, push_to_hub, hub)
        with self._pool.at_rest():
            save_pipeline(self, save_directory, options)

    # Views

    @classmethod
    def from_pipe(cls: type[_Self], pipeline: DiffusionPipeline, **kwargs: Any) -> _Self:
        """A pipeline of this class on the components of `pipeline`.

        The components are the same objects: nothing is copied, cast or moved. The scheduler is
        a copy of its own. `kwargs` replace components (None included) and options; options that
        the source was given or carried are kept, also those that this class doesn't declare.
        Where the source is one stage of a chain and this class is the chain, the other stage is
        given by its keyword: a loaded pipeline, or a folder or repository to load.

        Raises:
            ArgumentTypeError: a keyword is neither component nor option of this class, or a
                component is of another kind than the class takes there.
            ArgumentError: a required component is missing, or a dtype other than that of the
                shared weights is asked for.
        """
        pipeline._pool.check_open(pipeline)
        kwargs, origins = _with_stage(cls, pipeline, _without_dtype(pipeline, kwargs))
        modules, options = cls.module_names(), cls.option_names()
        check_names(kwargs, (*modules, *options), f"{cls.__name__}.from_pipe has no keyword")
        check_given(cls, {name: kwargs[name] for name in modules if name in kwargs})
        present = pipeline.components
        values = {
            name: kwargs[name] if name in kwargs else shared(present[name])
            for name in modules
            if name in kwargs or present.get(name) is not None
        }
        missing = [n for n in modules if n not in values and n not in cls.optional_components()]
        if missing:
            raise ArgumentError(
                f"{cls.__name__} needs {', '.join(missing)}, which the given "
                f"{type(pipeline).__name__} doesn't have; pass {missing[0]}=..."
            )
        values.update(dict.fromkeys(set(cls.optional_components()) - set(values)))
        carried = {**pipeline._carried, **pipeline.options}
        values.update({n: carried[n] for n in options if n in carried})
        values.update({n: kwargs[n] for n in options if n in kwargs})
        view = cls(**values)
        view._carried = {**carried, **view.options}
        view._origins = {**pipeline._origins, **origins}
        view._progress_bar_config = dict(pipeline._progress_bar_config)
        view._pool = pipeline._pool
        view._pool.join(view)
        return view

    # The end

    def close(self) -> None:
        """Give back the memory of this pipeline and of all that share its components."""
        self._pool.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _drop_components(self) -> None:
        for name in self.module_names():
            self.__dict__.pop(name, None)

    # Calls

    def _reset_call_state(self) -> None:
        """Give the object call state of its own, and no calls of others."""
        self.__dict__.update(
            _calls=set(), _calls_lock=threading.Lock(), _interrupted=False, _cancelled=False
        )

    @property
    def interrupt(self) -> bool:
        """Whether the call's remaining steps are to be skipped."""
        return bool(self._interrupted) or (self._whole is not None and self._whole.interrupt)

    @property
    def _interrupt(self) -> bool:
        return bool(self._interrupted)

    @_interrupt.setter
    def _interrupt(self, value: bool) -> None:
        self._interrupted = bool(value)
        with self._calls_lock:
            for run in self._calls:
                run._interrupted = bool(value)

    def cancel(self) -> None:
        """Make the calls that are running raise `CancelledError` at the next opportunity.

        May be called from any thread. Later calls are not affected.
        """
        with self._calls_lock:
            for run in self._calls:
                run._cancelled = True

    def check_cancelled(self) -> None:
        """Raise `CancelledError` if the running call was cancelled."""
        if self._cancelled:
            raise CancelledError("the call was cancelled; the pipeline can be called again")
        if self._whole is not None:
            self._whole.check_cancelled()

    def _take_part_in(self, whole: DiffusionPipeline) -> None:
        """Be a stage of `whole`, whose components this pipeline has some of.

        It shares the pool and the progress settings, and inside a call of `whole` it stops when
        that does.
        """
        self._pool = whole._pool
        self._pool.join(self)
        self._progress_bar_config = dict(whole._progress_bar_config)
        if whole.__dict__.get("_is_run"):
            self._whole = whole

    @property
    def num_timesteps(self) -> int:
        """Inside a call: how many timesteps its schedule has."""
        return int(self.__dict__.get("_num_timesteps", 0))

    @staticmethod
    def tokenizing(tokenizer: object) -> threading.RLock:
        """The lock to hold while using a tokenizer, whose state is not thread-safe."""
        return guard(tokenizer)

    # Progress

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """A tqdm bar over `iterable`, or of `total` steps, with this pipeline's settings."""
        from tqdm.auto import tqdm

        if (iterable is None) == (total is None):
            raise ArgumentError("progress_bar takes either iterable or total")
        return tqdm(iterable, total=total, **self._progress_bar_config)

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """Set keywords of tqdm for all later calls, such as `disable=True`."""
        self._progress_bar_config = dict(kwargs)

    @staticmethod
    def numpy_to_pil(images: np.ndarray) -> list[Image]:
        """PIL images from an array of shape (B, H, W, C) or (H, W, C) in [0, 1]."""
        from ..utils import numpy_to_pil

        return numpy_to_pil(images)


def _with_stage(
    cls: type[DiffusionPipeline], pipeline: DiffusionPipeline, kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """`kwargs` with the components of the stage that `cls` needs besides those of `pipeline`.

    And its origin by its keyword, if it is known.
    """
    from ..checkpoint import chain

    registry = default_registry()
    known = registry.pipeline_of(type(pipeline))
    keyword = chain.keyword_of(known, cls, registry) if known else None
    if keyword is None:
        return kwargs, {}
    stage = kwargs.get(keyword)
    if isinstance(stage, (str, Path)):
        stage = DiffusionPipeline.from_pretrained(stage, torch_dtype=pipeline.dtype)
        stage.to(pipeline.device)
    kwargs = chain.with_loaded(keyword, cls, {**kwargs, keyword: stage})
    if not kwargs.keys() >= chain.names_of(keyword, cls).keys():
        raise chain.lacks(keyword, cls, f"a {type(pipeline).__name__}")
    return kwargs, chain.origin_of(keyword, stage)


def _without_dtype(pipeline: DiffusionPipeline, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` less a dtype that changes nothing; the weights are shared, so none may change."""
    for name in ("torch_dtype", "dtype"):
        wanted = kwargs.get(name)
        if wanted is not None and wanted != pipeline.dtype:
            raise ArgumentError(
                f"from_pipe shares the weights of the source, which are {pipeline.dtype}, so it "
                f"can't make them {wanted}; call .to({wanted}) to change all pipelines that share "
                f"them"
            )
    return {k: v for k, v in kwargs.items() if k not in ("torch_dtype", "dtype")}
