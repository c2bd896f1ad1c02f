"""The base of every pipeline: loading, saving, views of the same components, and the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from ..checkpoint.hub.upload import PushToHubMixin
from ..constructors import construct
from ..errors import ArgumentError, ArgumentTypeError, check_names
from ..kinds import check_given, shared
from ..registry import default_registry
from ..resolution.reference import Absent
from ..wording import shown
from .copying import CopyingMixin
from .memory import MemoryMixin
from .pool import Pool

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_Self = TypeVar("_Self", bound="DiffusionPipeline")


class DiffusionPipeline(MemoryMixin, CopyingMixin, PushToHubMixin):
    """Loads, saves, moves and switches a set of components that work together.

    A subclass declares its components in the constructor, calls `register_modules` and
    `register_to_config` there, and decorates its `__call__` with `pipeline_call`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)

    _carried: dict[str, Any]
    from_single_file = Absent()

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        # State that must be there before any constructor registers something.
        self = super().__new__(cls)
        self._pool = Pool()
        self._carried, self._origins, self._progress_bar_config = {}, {}, {}
        self._strengths = {}
        self._reset_call_state()
        return self

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Each class has its own; this is for what is only known to be some pipeline."""

    # Loading and saving

    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        *,
        output_loading_info: Literal[False] = False,
        **kwargs: Any,
    ) -> _Self: ...
    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        *,
        output_loading_info: Literal[True],
        **kwargs: Any,
    ) -> tuple[_Self, dict[str, Any]]: ...
    @classmethod
    def from_pretrained(
        cls: type[_Self], pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> _Self | tuple[_Self, dict[str, Any]]:
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
        pipe: _Self | tuple[_Self, dict[str, Any]] = checkpoint.load(checkpoint.plan(cls))
        return pipe

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
            ArgumentTypeError: `pipeline` is none, a keyword is neither component nor option of
                this class, or a component is of another kind than the class takes there.
            ArgumentError: a required component is missing, or a dtype other than that of the
                shared weights is asked for.
        """
        check_is_pipeline(pipeline)
        pipeline._pool.check_open(pipeline)
        kwargs, origins = _with_stage(cls, pipeline, _without_dtype(pipeline, kwargs))
        modules, options = cls.module_names(), cls.option_names()
        check_names(kwargs, (*modules, *options), f"{cls.__name__}.from_pipe has no keyword")
        check_given(cls, {name: kwargs[name] for name in modules if name in kwargs})
        # What the source was made without, the view is without too; its calls say if they need it.
        own = {name: shared(one) for name, one in pipeline.components.items()}
        present = {**own, **kwargs}
        values = {name: present[name] for name in modules if name in present}
        missing = [n for n in modules if n not in values and n not in cls.optional_components()]
        if missing:
            raise ArgumentError(
                f"{cls.__name__} needs {', '.join(missing)}, which the given "
                f"{type(pipeline).__name__} doesn't have; pass {missing[0]}=..."
            )
        values.update(dict.fromkeys(set(cls.optional_components()) - set(values)))
        carried = {**pipeline._carried, **pipeline.options}
        known = {**carried, **kwargs}
        values.update({name: known[name] for name in options if name in known})
        view = construct(cls, values)
        view._carried = {**carried, **view.options}
        view._origins = {**pipeline._origins, **origins}
        view._progress_bar_config = dict(pipeline._progress_bar_config)
        view._pool = pipeline._pool
        view._pool.join(view)
        view._strengths = dict(pipeline._strengths)
        view._show_attached()
        return view

    def become_stage_of(self, whole: DiffusionPipeline) -> None:
        """Make this pipeline a stage of `whole`, from whose components it was constructed.

        It then shares the placement, the add-ons and the progress settings of `whole`. Made in a
        call of `whole`, it stops when that call is interrupted or cancelled.
        """
        self._pool = whole._pool
        self._pool.join(self)
        self._progress_bar_config = dict(whole._progress_bar_config)
        self._strengths = dict(whole._strengths)
        if whole.is_run:
            self._whole = whole

    # The end

    def close(self) -> None:
        """Give back the memory of this pipeline and of all that share its components."""
        self._pool.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def numpy_to_pil(images: np.ndarray) -> list[Image]:
        """PIL images from an array of shape (B, H, W, C) or (H, W, C) in [0, 1]."""
        from ..utils import numpy_to_pil

        return numpy_to_pil(images)


def check_is_pipeline(given: object) -> None:
    """Raise `ArgumentTypeError` if `given` is not a pipeline of this library."""
    if not isinstance(given, DiffusionPipeline):
        raise ArgumentTypeError(
            f"from_pipe takes a loaded pipeline, not {shown(given)}; a folder or repository is for "
            f"from_pretrained"
        )


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
    from ..checkpoint.options import parse_dtype

    for name in ("torch_dtype", "dtype"):
        wanted = kwargs.get(name)
        if wanted is not None and parse_dtype(wanted) not in (pipeline.dtype, "auto"):
            raise ArgumentError(
                f"from_pipe shares the weights of the source, which are {pipeline.dtype}, so it "
                f"can't make them {wanted}; call .to({wanted}) to change all pipelines that share "
                f"them"
            )
    return {k: v for k, v in kwargs.items() if k not in ("torch_dtype", "dtype")}
