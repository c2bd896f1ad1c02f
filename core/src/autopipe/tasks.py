"""The tasks that pipelines perform, as data to which any plugin can add.

A `Task` is a string, its name, with the facts that tools need: the inputs of its calls, their
required parameters, their output, and the name of its Auto class. The core declares three tasks in
the same way as a plugin does; see `autopipe.resolution.own`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from .errors import ArgumentError, nearest
from .wording import listed, shown

KINDS = ("text", "image", "mask", "label", "number", "video", "audio", "value")
"""The kinds of inputs. Tools can read each of them from a command line; a value is JSON."""


@dataclass(frozen=True)
class Input:
    """An argument of calls that a task, a condition or an add-on declares for tools.

    Attributes:
        name: the parameter of the call.
        kind: one of `KINDS`.
        option: the name of the command-line option, without dashes; by default `name`.
        required: whether every call needs it.
        help: one line for the command line.
    """

    name: str
    kind: str
    option: str = ""
    required: bool = True
    help: str = field(default="", compare=False)


class _Tasks(type):
    """Iterating over `Task` yields the installed tasks, those of the core first."""

    def __iter__(cls) -> Iterator[Task]:
        return iter(_installed())

    def __len__(cls) -> int:
        return len(_installed())

    def __reversed__(cls) -> Iterator[Task]:
        return reversed(_installed())

    def __getitem__(cls, name: str) -> Task:
        return cls.__members__[name]

    @property
    def __members__(cls) -> Mapping[str, Task]:
        return MappingProxyType({task.name: task for task in cls})


class Task(str, metaclass=_Tasks):
    """A task; a string that equals its name, as used in manifests and on command lines.

    `Task("inpaint")` is the installed task of that name. With an `auto_class`, it is a new task for
    the `tasks` of a manifest::

        Task(
            "unconditional",
            auto_class="AutoPipelineForUnconditional",
            parameters=("num_inference_steps", "generator", "output_type"),
            output="images",
            samples={"num_inference_steps": (2, 3)},
        )

    Attributes:
        auto_class: the name of the class in `autopipe` that opens checkpoints for this task.
        aliases: other names, such as the Hub's pipeline tag.
        inputs: the inputs of a call, in the order of its parameters.
        parameters: the parameters that the `__call__` of every pipeline of the task must name.
        output: the field of a call's output that holds the results: `"images"`, `"frames"`,
            `"audios"`, or another.
        samples: by parameter, a value for tests and tools, and optionally a second one that should
            change the result. A value may be a function without arguments that creates it. Inputs
            of the kinds `"image"` and `"mask"` need no samples.
        repeats: the parameter for the number of results per input, or None.
        protocol: the target of a typing protocol that pipelines of the task implement, or None.

    Raises:
        ArgumentError: if no installed plugin declares the task.
    """

    TEXT2IMAGE: ClassVar[Task]
    IMAGE2IMAGE: ClassVar[Task]
    INPAINT: ClassVar[Task]

    auto_class: str
    aliases: tuple[str, ...]
    inputs: tuple[Input, ...]
    parameters: tuple[str, ...]
    output: str
    samples: Mapping[str, tuple[Any, ...]]
    repeats: str | None
    protocol: str | None

    def __new__(
        cls,
        name: str,
        *,
        auto_class: str | None = None,
        aliases: tuple[str, ...] = (),
        inputs: tuple[Input, ...] = (),
        parameters: tuple[str, ...] = (),
        output: str = "images",
        samples: Mapping[str, tuple[Any, ...]] | None = None,
        repeats: str | None = None,
        protocol: str | None = None,
    ) -> Task:
        if auto_class is None:
            if inputs or aliases or parameters or samples or protocol:
                raise ArgumentError(
                    f"the new task {shown(name)} needs an Auto class; give auto_class="
                )
            return _find(str(name))
        self = str.__new__(cls, name)
        self.__dict__.update(
            auto_class=auto_class,
            aliases=aliases,
            inputs=inputs,
            parameters=parameters,
            output=output,
            samples=MappingProxyType(dict(samples))
            if isinstance(samples, Mapping)
            else samples or {},
            repeats=repeats,
            protocol=protocol,
        )
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the task {self} is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return Task, (str(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        return self

    def __repr__(self) -> str:
        return f"<Task {str(self)!r}>"

    @property
    def value(self) -> str:
        """The name."""
        return str(self)

    @property
    def name(self) -> str:
        """The name in upper case, like the constants of the core's tasks."""
        return self.upper()

    @property
    def claim(self) -> tuple[Any, ...]:
        """The attributes in which two declarations of one task must agree."""
        return self.inputs, self.output, self.auto_class

    @classmethod
    def parse(cls, name: Task | str) -> Task:
        """Return the task called `name`, which may have dashes or be an alias, such as the Hub's.

        Raises:
            ArgumentError: if there is no such task.
        """
        return _find(_plain(str(name)), by_alias=True)

    def united(self, other: Task) -> Task:
        """Return this task with the aliases and samples of another declaration added."""
        both = {
            "aliases": tuple(dict.fromkeys((*self.aliases, *other.aliases))),
            "samples": {**other.samples, **self.samples},
            "repeats": self.repeats or other.repeats,
            "protocol": self.protocol or other.protocol,
        }
        return Task(str(self), **{**vars(self), **both})


@runtime_checkable
class Text2Image(Protocol):
    """Generates images from text. A class declares this by subclassing or by setting the marker."""

    __text2image__: ClassVar[bool] = True

    def __call__(self, prompt: Any, *args: Any, **kwargs: Any) -> Any:
        """Return an output whose `images` has one image per prompt and repetition."""
        ...


@runtime_checkable
class Image2Image(Protocol):
    """Generates images from text and an initial image."""

    __image2image__: ClassVar[bool] = True

    def __call__(self, prompt: Any, image: Any, *args: Any, **kwargs: Any) -> Any:
        """As `Text2Image`; `strength` in [0, 1] says how much `image` is changed."""
        ...


@runtime_checkable
class Inpaint(Protocol):
    """Repaints the part of an image that is white in a mask."""

    __inpaint__: ClassVar[bool] = True

    def __call__(self, prompt: Any, image: Any, mask_image: Any, *args: Any, **kwargs: Any) -> Any:
        """As `Image2Image`; only the part that is white in `mask_image` is repainted."""
        ...


_PROMPT = Input("prompt", "text")
_IMAGE = Input("image", "image", help="the initial image: a file or a URL")
_MASK = Input("mask_image", "mask", option="mask", help="the mask; white parts are repainted")

_EVERY_CALL = (
    "prompt",
    "num_inference_steps",
    "guidance_scale",
    "num_images_per_prompt",
    "generator",
    "output_type",
    "return_dict",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
)
_PROMPTS = {"prompt": ("a red circle", "a blue star"), "guidance_scale": (7.5, 2.0)}
# With these strengths, at least two steps remain.
_CHANGES = {**_PROMPTS, "num_inference_steps": (4, 6), "strength": (0.5, 0.75)}

CORE = (
    Task(
        "text2image",
        auto_class="AutoPipelineForText2Image",
        aliases=("text-to-image",),
        inputs=(_PROMPT,),
        parameters=(*_EVERY_CALL, "height", "width", "latents"),
        samples={**_PROMPTS, "num_inference_steps": (2, 3)},
        repeats="num_images_per_prompt",
        protocol="autopipe.tasks:Text2Image",
    ),
    Task(
        "image2image",
        auto_class="AutoPipelineForImage2Image",
        aliases=("image-to-image", "img2img"),
        inputs=(_PROMPT, _IMAGE),
        parameters=(*_EVERY_CALL, "image", "strength"),
        samples=_CHANGES,
        repeats="num_images_per_prompt",
        protocol="autopipe.tasks:Image2Image",
    ),
    Task(
        "inpaint",
        auto_class="AutoPipelineForInpainting",
        aliases=("inpainting", "image-inpainting"),
        inputs=(_PROMPT, _IMAGE, _MASK),
        parameters=(*_EVERY_CALL, "image", "mask_image", "strength"),
        samples=_CHANGES,
        repeats="num_images_per_prompt",
        protocol="autopipe.tasks:Inpaint",
    ),
)
"""The tasks that the core declares."""

Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT = CORE

PROTOCOLS: Mapping[Task, type] = dict(zip(CORE, (Text2Image, Image2Image, Inpaint)))
"""The typing protocols of the core's tasks."""

PARAMETERS: Mapping[Task, tuple[str, ...]] = {task: task.parameters for task in CORE}
"""The parameters that the `__call__` of a pipeline must name, for the core's tasks."""


def missing_parameters(pipeline_class: type, task: Task) -> tuple[str, ...]:
    """Return the parameters of `task` that the `__call__` of `pipeline_class` doesn't name."""
    named = inspect.signature(pipeline_class.__call__).parameters
    return tuple(name for name in task.parameters if name not in named)


def _find(name: str, *, by_alias: bool = False) -> Task:
    known = _names(CORE, by_alias)
    if name not in known:
        # The registry is asked last: manifests use tasks of the core while it is being built.
        known = _names(_installed(), by_alias)
    if name not in known:
        names = listed(_installed(), 30)
        raise ArgumentError(
            f"there is no task {shown(name)}; the tasks are {names}.{nearest(name, known)}"
        )
    return known[name]


def _names(tasks: Iterable[Task], by_alias: bool) -> dict[str, Task]:
    if not by_alias:
        return {str(task): task for task in tasks}
    aliases = {_plain(alias): task for task in tasks for alias in task.aliases}
    return {**aliases, **{_plain(task): task for task in tasks}}


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")


def _installed() -> tuple[Task, ...]:
    # Imported by name on first use, because the registry is in a layer above this one.
    registry = importlib.import_module(f"{__package__}.registry")
    return tuple(registry.default_registry().tasks)
