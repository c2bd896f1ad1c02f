"""Cascades: several pipelines in a row, each of which enlarges the images of the previous one.

    from autopipe_components.cascade import cascade, load_stage

    second = load_stage("DeepFloyd/IF-II-L-v1.0", after=first)
    image = cascade([first, second], "a cat").images[0]

Any pipeline whose call takes an `image` can be a later stage. Components that the stages of a
family share, such as a text encoder of many gigabytes, are loaded once. Prompts are encoded once
for all stages that share a text encoder or have none; see `FirstStage`.
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
    """A pipeline that shares components and encoded prompts with later stages.

    The class of a later stage may have a mapping `cascade_classes`, from the `Task` of the first
    stage to the name of the class for the later one; `load_stage` loads that class.
    """

    cascade_components: ClassVar[tuple[str, ...]]
    """The optional components that later stages of the same family also use."""

    def encode_for_cascade(
        self, prompt: Any, negative_prompt: Any = None, num_images_per_prompt: int = 1
    ) -> dict[str, Any]:
        """Return the encoded prompts as further arguments of a call, one row for each image."""
        ...


def load_stage(
    checkpoint: str | Path,
    *,
    after: DiffusionPipeline,
    task: Task | str = Task.TEXT2IMAGE,
    **keywords: Any,
) -> DiffusionPipeline:
    """Load the pipeline that enlarges the images of `after`.

    Args:
        checkpoint: as for `DiffusionPipeline.from_pretrained`. The class is the one that the
            checkpoint names, unless its `cascade_classes` has another class for the task.
        after: the first stage. Components that its family shares between stages are not loaded
            again: both pipelines use the same objects.
        task: the task of the first stage.
        **keywords: as for `DiffusionPipeline.from_pretrained`.

    Raises:
        ArgumentError: if calls of the pipeline don't take an image.
        ArgumentTypeError: if `after` is not a pipeline.
    """
    from autopipe.checkpoint.checkpoint import Checkpoint
    from autopipe.pipeline.base import DiffusionPipeline

    if not isinstance(after, DiffusionPipeline):
        raise ArgumentTypeError(
            f"after is a {type(after).__name__}; give the pipeline of the first stage"
        )
    registry = default_registry()
    opened = Checkpoint.open(checkpoint, keywords, registry)
    entry = registry.resolve(opened.index.class_name)
    cls: Any = entry.load_class()
    for_task: str | None = getattr(cls, "cascade_classes", {}).get(Task.parse(task))
    if for_task is not None:
        cls = registry.load(for_task)
    _check_takes_image(cls)
    first = registry.pipeline_of(type(after))
    if first is not None and registry.resolve(first.name).family == entry.family:
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
    """Run `stages` one after another, and return the output of the last one.

    Images are passed between stages as tensors, in the range in which a stage returns them.

    Args:
        prompt, negative_prompt: a text or a list of them.
        image, mask_image: the image and mask that the first stage starts from, if its task needs
            them. Later stages get them as `original_image` and `mask_image`, if they take these.
        num_images_per_prompt: the number of images per prompt.
        generator: a generator, or a list with one for each image. The stages draw from it one
            after another.
        output_type: the output type of the last stage.
        encoded: the result of `encode_for_cascade` of the first stage, if its text encoder is no
            longer loaded. `prompt` is then needed only by stages with a text encoder of their own.
        options: further arguments of the calls: a mapping for each stage, or for the first ones.

    Raises:
        ArgumentError, ArgumentTypeError: if the stages or their arguments don't match; nothing is
            computed then.
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
        if encoded is not None and _reads_encoded(stage, first):
            call |= encoded
        else:
            # A stage may enlarge without a text.
            call |= {name: text for name, text in texts.items() if name in _takes(stage)}
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
        raise ArgumentTypeError("stages is not a list of pipelines; give a list: [first, second]")
    if not stages:
        raise ArgumentError("stages is empty; a cascade needs at least one pipeline")
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
            f"{cls.__name__} takes no image, so it can't be a later stage of a cascade; use a "
            f"pipeline for super-resolution or image to image"
        )


def _takes(stage: DiffusionPipeline) -> Mapping[str, Any]:
    return inspect.signature(type(stage).__call__).parameters


def _reads_encoded(stage: DiffusionPipeline, first: DiffusionPipeline) -> bool:
    """Whether `stage` can use prompts that the first stage has encoded."""
    own = getattr(stage, "text_encoder", None)
    return own is None or own is getattr(first, "text_encoder", None)


def _repeated(text: Any, count: int) -> Any:
    """Return the texts, each repeated `count` times."""
    if count == 1:
        return text
    return [one for one in ([text] if isinstance(text, str) else text) for _ in range(count)]
