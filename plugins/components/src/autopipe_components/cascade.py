"""Cascades: pipelines one after another, each enlarging what the one before it has made.

    from autopipe_components.cascade import cascade, load_stage

    second = load_stage("DeepFloyd/IF-II-L-v1.0", after=first)
    image = cascade([first, second], "a cat").images[0]

Any pipeline whose call takes an `image` can be a later stage. What stages of one family have in
common (a text encoder of many gigabytes) is loaded once, and a prompt is encoded once for all
that have the first stage's text encoder, or none: see `FirstStage`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.registry import default_registry
from autopipe.tasks import Task
from autopipe.wording import shown

if TYPE_CHECKING:
    from autopipe.pipeline.base import DiffusionPipeline


@runtime_checkable
class FirstStage(Protocol):
    """What a pipeline may have so that later stages share its components and its encoded prompts.

    A class for a later stage may besides name, as `cascade_classes`, a mapping from `Task` to the
    class that goes on with what a first stage made in that task; `load_stage` takes that one.
    """

    cascade_components: ClassVar[tuple[str, ...]]
    """The optional components that later stages of the same family take from it."""

    def encode_for_cascade(
        self, prompt: Any, negative_prompt: Any = None, num_images_per_prompt: int = 1
    ) -> dict[str, Any]:
        """The prompts as further arguments of a call, a row for each image."""
        ...


def load_stage(
    checkpoint: str | Path,
    *,
    after: DiffusionPipeline,
    task: Task | str = Task.TEXT2IMAGE,
    **keywords: Any,
) -> DiffusionPipeline:
    """Load the pipeline that enlarges what `after` makes.

    Args:
        checkpoint: as for `DiffusionPipeline.from_pretrained`, whose class is taken unless that
            names another for the task.
        after: the first stage. What its family says that stages have in common is taken from it,
            the same objects, and not loaded again.
        task: what the first stage is used for.
        **keywords: those of `DiffusionPipeline.from_pretrained`.

    Raises:
        ArgumentError: the pipeline takes no image.
        ArgumentTypeError: `after` is not a pipeline.
    """
    from autopipe.checkpoint.checkpoint import Checkpoint
    from autopipe.pipeline.base import DiffusionPipeline

    if not isinstance(after, DiffusionPipeline):
        raise ArgumentTypeError(
            f"after is a {type(after).__name__}; give the pipeline of the first stage"
        )
    registry = default_registry()
    opened = Checkpoint.open(checkpoint, keywords, registry)
    found = registry.resolve(opened.index.class_name)
    cls: Any = found.load_class()
    for_task: str | None = getattr(cls, "cascade_classes", {}).get(Task.parse(task))
    if for_task is not None:
        cls = registry.load(for_task)
    _check_takes_image(cls)
    first = registry.pipeline_of(type(after))
    if first is not None and registry.resolve(first.name).family == found.family:
        names = getattr(after, "cascade_components", ())
        taken = {name: after.components[name] for name in names}
        opened = replace(opened, given={**taken, **opened.given})
    pipe: DiffusionPipeline = opened.load(opened.plan(cls))
    return pipe


def cascade(
    stages: Sequence[DiffusionPipeline],
    prompt: Any = None,
    *,
    negative_prompt: Any = None,
    image: Any = None,
    mask_image: Any = None,
    num_images_per_prompt: int = 1,
    generator: Any = None,
    output_type: str = "pil",
    encoded: Mapping[str, Any] | None = None,
    options: Sequence[Mapping[str, Any]] = (),
) -> Any:
    """Run `stages` one after another, and return what the last one does.

    Between stages the images go as tensors, in the range that a stage gives them.

    Args:
        prompt, negative_prompt: a text or a list of them.
        image, mask_image: what the first stage starts from, if its task needs it. Later stages
            that take an `original_image` or a `mask_image` get them too.
        num_images_per_prompt: how many images of each prompt.
        generator: the source of noise, or a list with one for each image; each stage draws in
            its turn.
        output_type: of the last stage.
        encoded: what `encode_for_cascade` of the first stage returned, where that no longer has
            its text encoder; `prompt` is then needed only by stages with one of their own.
        options: for each stage, or for the first ones, further arguments of its call: none of
            those above.

    Raises:
        ArgumentError, ArgumentTypeError: the stages don't fit together. Nothing was computed.
    """
    from .steps.checks import check_images_per_prompt

    _check_stages(stages, options)
    if encoded is not None and not isinstance(encoded, Mapping):
        raise ArgumentTypeError(
            f"encoded is a {type(encoded).__name__}; give what encode_for_cascade returned"
        )
    check_images_per_prompt(num_images_per_prompt)
    first = stages[0]
    count = num_images_per_prompt
    if encoded is None and isinstance(first, FirstStage):
        encoded = first.encode_for_cascade(prompt, negative_prompt, count)
    texts = {
        name: _repeated(text, count)
        for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt))
        if text is not None
    }
    given = {"image": image, "mask_image": mask_image}
    output: Any = None
    stage: Any
    for number, stage in enumerate(stages):
        call = dict(options[number]) if number < len(options) else {}
        call |= texts if encoded is None or not _reads_encoded(stage, first) else encoded
        if number:
            kept = {"original_image": image, "mask_image": mask_image}
            given = {"image": output.images, **{n: kept[n] for n in kept if n in _takes(stage)}}
        call |= {name: value for name, value in given.items() if value is not None}
        is_last = number == len(stages) - 1
        output = stage(**call, generator=generator, output_type=output_type if is_last else "pt")
    return output


def _check_stages(
    stages: Sequence[DiffusionPipeline], options: Sequence[Mapping[str, Any]]
) -> None:
    if not isinstance(stages, (list, tuple)) or not all(map(callable, stages)):
        raise ArgumentTypeError("stages is not a list of pipelines; give one: [first, second]")
    if not stages:
        raise ArgumentError("a cascade needs at least one pipeline, and got none")
    if len(options) > len(stages):
        raise ArgumentError(
            f"got options for {len(options)} stages and {len(stages)} stages; give one mapping "
            f"for each, or fewer"
        )
    for stage in stages[1:]:
        _check_takes_image(type(stage))
    for stage, further in zip(stages, options):
        if not isinstance(further, Mapping):
            raise ArgumentTypeError(
                f"options holds a {type(further).__name__}; give a dict of arguments per stage"
            )
        for name in further:
            if name in inspect.signature(cascade).parameters:
                raise ArgumentError(
                    f"options holds {shown(name)}, which is the same for all stages; give it to "
                    f"cascade itself"
                )
            if name not in (known := _takes(stage)):
                raise ArgumentTypeError(
                    f"calling {type(stage).__name__}: it takes no {shown(name)}."
                    f"{nearest(name, known)}"
                )


def _check_takes_image(cls: type) -> None:
    if "image" not in inspect.signature(cls.__call__).parameters:
        raise ArgumentError(
            f"{cls.__name__} takes no image, so it can't go on with what another pipeline made; "
            f"use one for super-resolution, or for image to image"
        )


def _takes(stage: DiffusionPipeline) -> Mapping[str, Any]:
    return inspect.signature(type(stage).__call__).parameters


def _reads_encoded(stage: DiffusionPipeline, first: DiffusionPipeline) -> bool:
    """Whether prompts that the first stage has encoded are of use to `stage`."""
    own = getattr(stage, "text_encoder", None)
    return own is None or own is getattr(first, "text_encoder", None)


def _repeated(text: Any, count: int) -> Any:
    """`text`, or each of several, as often as there are images of it."""
    if count == 1:
        return text
    return [one for one in ([text] if isinstance(text, str) else text) for _ in range(count)]
