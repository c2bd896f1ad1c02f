"""The base of every pipeline: loading, saving, sharing components, and closing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from ..checkpoint.hub.upload import PushToHubMixin
from ..constructors import construct
from ..errors import ArgumentError, ArgumentTypeError, check_names
from ..kinds import check_given, shared
from ..registry import default_registry, receive
from ..wording import listed, logger, shown
from .copying import CopyingMixin
from .memory import MemoryMixin
from .pool import Pool

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_log = logger(__name__)

_Self = TypeVar("_Self", bound="DiffusionPipeline")


class DiffusionPipeline(MemoryMixin, CopyingMixin, PushToHubMixin):
    """Base of pipelines: loads, saves and moves a set of components, and switches between tasks.

    A subclass declares its components in the constructor, calls `register_modules` and
    `register_to_config` there, and decorates its `__call__` with `pipeline_call`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)

    _carried: dict[str, Any]

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        # State that must exist before a constructor registers components.
        self = super().__new__(cls)
        self._pool = Pool()
        self._carried, self._origins, self._progress_bar_config = {}, {}, {}
        self._strengths = dict.fromkeys(cls.own_attachments, 1.0)
        self._reset_call_state()
        return self

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Call the pipeline. Subclasses declare their own arguments."""

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

        On `DiffusionPipeline` itself, this loads the class that the checkpoint names; on a
        subclass, it loads that class.

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
    def from_single_file(
        cls: type[_Self],
        pretrained_model_link_or_path: str | Path,
        *,
        config: str | Path | None = None,
        original_config: str | Path | Mapping[str, Any] | None = None,
        prediction_type: str | None = None,
        scheduler_type: str | None = None,
        **kwargs: Any,
    ) -> _Self:
        """Load the pipeline of a single file in the layout of its authors, in evaluation mode.

        The weights are taken from the file without a copy of it. What the file lacks, such as the
        tokenizer, comes from `config`, or else from the family, without a network. Safety checkers
        are not loaded.

        Args:
            pretrained_model_link_or_path: the path of a `.safetensors` or `.ckpt` file, or its
                address on the Hub.
            config: a folder or repository with the configs and everything that the file lacks.
            original_config: the config in YAML of the authors' code: a path, its text, or a dict.
            prediction_type: what the U-Net predicts: `"epsilon"`, `"v_prediction"` or `"sample"`;
                by default what the file tells, else what the family assumes, which is logged.
            scheduler_type: `"ddim"`, `"pndm"`, `"lms"`, `"heun"`, `"euler"`, `"euler-ancestral"` or
                `"dpm"`; by default that of the kind of checkpoint.
            **kwargs: as for `from_pretrained`.

        Raises:
            ArgumentError: if a keyword can't be used.
            CheckpointError: if there is no such file, or it can't be read.
            QuantizedWeightsError: if its weights are quantized.
            UnsupportedCheckpointError: if no installed reader knows its layout, or it contains no
                pipeline.
            WeightsMismatchError: if the tensors don't fit the configs.
        """
        from ..checkpoint.single_file import open_pipeline

        own = {"config": config, "original_config": original_config}
        own |= {"prediction_type": prediction_type, "scheduler_type": scheduler_type}
        checkpoint = open_pipeline(pretrained_model_link_or_path, {**own, **kwargs})
        pipe: _Self = checkpoint.load(checkpoint.plan(cls))
        return pipe

    @classmethod
    def download(cls, pretrained_model_name: str | Path, **kwargs: Any) -> str:
        """Fetch the files that `from_pretrained` would read with the same arguments.

        Args:
            pretrained_model_name: a repository id of the Hub.
            **kwargs: as for `from_pretrained`. Components that are passed are not fetched.

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
        """Write the checkpoint into `save_directory`, atomically. Attachments are not part of it.

        Args:
            save_directory: the folder to write.
            safe_serialization: if True write safetensors, else pickled state dicts.
            variant: part of the names of the weight files.
            max_shard_size: bytes, or text such as `"5GB"`; larger weights are split into shards.
            push_to_hub: upload afterwards, as `push_to_hub` does; `repo_id` is the folder's name
                by default.
            **hub: `repo_id`, `commit_message`, `private`, `token`, `create_pr`.
        """
        from ..checkpoint.save import SaveOptions, save_pipeline

        added = [n for n, s in self.attachments.items() if s and n not in self.own_attachments]
        if added:
            _log.warning(
                "the attachments %s of this %s are not part of its checkpoint, so they are not "
                "saved",
                listed(added),
                type(self).__name__,
            )
        size = "10GB" if max_shard_size is None else max_shard_size
        options = SaveOptions(safe_serialization, variant, size, push_to_hub, hub)
        with self._pool.at_rest():
            save_pipeline(self, save_directory, options)

    # Views

    @classmethod
    def from_pipe(cls: type[_Self], pipeline: DiffusionPipeline, **kwargs: Any) -> _Self:
        """Return a pipeline of this class that shares the components of `pipeline`.

        The components are the same objects: they are not copied, cast or moved. Only the scheduler
        is a copy. `kwargs` replace components (None removes one) and options. Options of the source
        are kept, even if this class doesn't declare them. If the source is one stage of a chain
        and this class is the combined pipeline, pass the other stage by its keyword: a loaded
        pipeline, or a folder or repository to load.

        Raises:
            ArgumentTypeError: if `pipeline` is not a pipeline, a keyword is neither a component nor
                an option of this class, or a component has the wrong type.
            ArgumentError: if a required component is missing, or a dtype other than that of the
                shared weights is requested.
        """
        check_is_pipeline(pipeline)
        pipeline._pool.check_open(pipeline)
        kwargs, origins = _with_stage(cls, pipeline, _without_dtype(pipeline, kwargs))
        modules, options = cls.module_names(), cls.option_names()
        check_names(kwargs, (*modules, *options), f"{cls.__name__}.from_pipe has no keyword")
        check_given(cls, {name: kwargs[name] for name in modules if name in kwargs})
        # Components that the source lacks are absent in the view; its calls report what they need.
        own = {name: shared(one) for name, one in pipeline.components.items()}
        present = {**own, **kwargs}
        values = {name: present[name] for name in modules if name in present}
        missing = [n for n in modules if n not in values and n not in cls.optional_components()]
        if missing:
            raise ArgumentError(
                f"{cls.__name__} needs {', '.join(missing)}, which the given "
                f"{type(pipeline).__name__} doesn't have; pass {missing[0]}="
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
        view._strengths.update(pipeline._strengths)
        view._show_attached()
        return view

    @classmethod
    def stage_classes(cls) -> tuple[type[DiffusionPipeline], ...]:
        """Return the classes of the pipelines that a call runs: this one, or its stages."""
        return (cls,)

    def become_stage_of(self, whole: DiffusionPipeline) -> None:
        """Make this pipeline a stage of `whole`, from whose components it was constructed.

        It then shares the placement, the add-ons and the progress settings of `whole`. If it is
        created in a call of `whole`, it is interrupted and cancelled together with that call.
        """
        self._pool = whole._pool
        self._pool.join(self)
        self._progress_bar_config = dict(whole._progress_bar_config)
        self._strengths = dict(whole._strengths)
        if whole.is_run:
            self._whole = whole

    # Closing

    def close(self) -> None:
        """Release the memory of this pipeline and of all pipelines that share its components."""
        self._pool.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def numpy_to_pil(images: np.ndarray) -> list[Image]:
        """Return PIL images of an array of shape (B, H, W, C) or (H, W, C) in [0, 1]."""
        from ..utils import numpy_to_pil

        return numpy_to_pil(images)


receive(DiffusionPipeline, "pipeline method")


def check_is_pipeline(given: object) -> None:
    """Raise `ArgumentTypeError` if `given` is not a pipeline of this library."""
    if not isinstance(given, DiffusionPipeline):
        raise ArgumentTypeError(
            f"from_pipe takes a loaded pipeline, not {shown(given)}; for a folder or a repository, "
            f"call from_pretrained"
        )


def _with_stage(
    cls: type[DiffusionPipeline], pipeline: DiffusionPipeline, kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return `kwargs` with the components of the other stage that `cls` needs, and its origin.

    The origin is keyed by the keyword of the stage, and empty if unknown.
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
        raise chain.lacks(keyword, cls, type(pipeline).__name__)
    return kwargs, chain.origin_of(keyword, stage)


def _without_dtype(pipeline: DiffusionPipeline, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return `kwargs` without a dtype, which must be that of the shared weights."""
    from ..checkpoint.options import parse_dtype

    for name in ("torch_dtype", "dtype"):
        wanted = kwargs.get(name)
        if wanted is not None and parse_dtype(wanted) not in (pipeline.dtype, "auto"):
            raise ArgumentError(
                f"from_pipe shares the weights of the source, whose dtype is {pipeline.dtype}, so "
                f"it can't cast them to {wanted}; call .to({wanted}) to cast them for all "
                f"pipelines that share them"
            )
    return {k: v for k, v in kwargs.items() if k not in ("torch_dtype", "dtype")}
