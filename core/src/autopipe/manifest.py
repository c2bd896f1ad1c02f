"""The manifest: what a plugin provides, as data that can be read without heavy imports.

A plugin's entry point names a light module whose hook returns one `Manifest`, also called `Family`
if it provides a model family. Everything heavy is named by a target, a string
`"module:Attribute"` that is imported on first use.

The pipelines of one *line* and one set of *conditions* form a row of a table whose columns are
tasks; switching tasks moves along the row. Conditions link families: a plugin may declare rows of
another family's line under its own condition, whose keyword moves between the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from .tasks import Input, Task

API = 2
"""The number of this API. A manifest with another `api` is not used."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline class.

    Attributes:
        name: the class name, as in `_class_name` of a `model_index.json`.
        target: where the class is defined.
        task: the name of its (primary) task; None if it serves no task.
        line: the line of its row in the table; None if and only if `task` is None.
        conditions: the names of the conditions of that row.
        opens_as: the line whose pipeline an Auto class opens instead, if this class is a stage of
            a chain, such as a decoder that needs a prior.
        needs: the keyword for the other stage of that chain, such as `prior`. It is also the key
            in the README's metadata that names that stage's checkpoint, and the prefix (followed
            by an underscore) of that stage's components in pipelines of the line `opens_as`.
        also: the names of further tasks that it serves.
    """

    name: str
    target: str
    task: str | None = None
    line: str | None = None
    conditions: frozenset[str] = frozenset()
    opens_as: str | None = None
    needs: str | None = None
    also: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that it serves, the primary one first."""
        return () if self.task is None else (self.task, *self.also)


@dataclass(frozen=True)
class Component:
    """A class that a checkpoint may name, identified by its index entry `[library, name]`.

    A component of the library `"transformers"` replaces that class in checkpoints of the plugin's
    own lines only, and has no public name. With `only_own_lines` this holds for other libraries
    too, such as for a name that several families use for classes of their own.

    Attributes:
        name: the class name in the index entry.
        target: where the class is defined.
        library: the library in the index entry.
        kind: `"model"`, `"scheduler"` or `"other"`.
        only_own_lines: whether it counts for checkpoints of the plugin's own lines only.
    """

    name: str
    target: str
    library: str = "diffusers"
    kind: Literal["model", "scheduler", "other"] = "model"
    only_own_lines: bool = False

    @property
    def is_public(self) -> bool:
        """Whether it counts for checkpoints of all lines, and its name can be imported."""
        return not self.only_own_lines and self.library != "transformers"


@dataclass(frozen=True)
class Condition:
    """A keyword of the Auto classes that selects another row, such as `controlnet`.

    Attributes:
        name: the name of the condition in rows.
        keyword: the keyword, which is also the name of the component that it adds, unless it is a
            `flag`.
        target: the class whose `from_pretrained` loads the component that a command line names;
            None if it can't be given there.
        inputs: the inputs of calls, in addition to those of the task.
        help: one line for the command line.
        flag: whether the keyword is True or False instead of a component, such as `enable_pag`. A
            flag has no target.
    """

    name: str
    keyword: str
    target: str | None = None
    inputs: tuple[Input, ...] = ()
    help: str = ""
    flag: bool = False


@dataclass(frozen=True)
class AddOn:
    """An extension that attaches to an existing pipeline and changes its calls.

    Attributes:
        name: the name for `pipe.attach(name)`.
        target: an `autopipe.attaching.attachment.Attachment` class.
        inputs: the keywords that it adds to calls while it is attached.
        help: one line for the command line.
        fast: for an add-on that makes calls faster by itself: one line about what is lost.
            `autopipe generate --fast` attaches it. Empty for others.
        option: the option of `autopipe generate` that attaches it, without dashes, such as
            `"lora"` for `--lora FILE[:STRENGTH]`. Empty for others.
    """

    name: str
    target: str
    inputs: tuple[Input, ...] = ()
    help: str = ""
    fast: str = ""
    option: str = ""


EAGER = "eager"
"""The name that selects torch's eager mode in place of an engine."""


@dataclass(frozen=True)
class Engine:
    """A runtime that runs networks of a pipeline in place of torch's eager mode.

    Attributes:
        name: the name for `pipe.use_engine(name)`, other than `"eager"`.
        target: an `autopipe.attaching.engine.NetworkEngine` class.
    """

    name: str
    target: str


@dataclass(frozen=True)
class Runner:
    """Distributes the jobs of a batch to workers.

    Attributes:
        name: the name that selects it on the command line of a batch, such as `"local"`.
        target: a function that takes the arguments of `autopipe_batch.work.Runner` and yields what
            becomes of each job.
    """

    name: str
    target: str


@dataclass(frozen=True)
class Command:
    """A subcommand of `autopipe`; its code is imported when it is called.

    Attributes:
        name: the word on the command line.
        target: a function that receives the `argparse.ArgumentParser` of the subcommand, declares
            its arguments, and returns the function that runs it: `(Namespace) -> exit code`.
        help: one line for the list of commands.
    """

    name: str
    target: str
    help: str = ""


@dataclass(frozen=True)
class Reader:
    """Reads a single file whose layout it recognises by its tensor names.

    Attributes:
        name: the name of the layout.
        keys: tensor names that every file of this layout has.
        target: an `autopipe.checkpoint.single.layout.Layout` class; or a function
            `(path, folder) -> None` that writes the file's content as a checkpoint folder.
        absent: tensor names that no file of this layout has; one that ends with a dot stands for
            all names that begin with it.
    """

    name: str
    keys: tuple[str, ...]
    target: str
    absent: tuple[str, ...] = ()

    def matches(self, names: Collection[str]) -> bool:
        """Whether a file with the tensors `names` has this layout."""
        begins = tuple(one for one in self.absent if one.endswith("."))
        return (
            {*self.keys} <= {*names}
            and {*self.absent}.isdisjoint(names)
            and not (begins and any(name.startswith(begins) for name in names))
        )


@dataclass(frozen=True)
class Export:
    """Another public name, importable from `autopipe` itself."""

    name: str
    target: str


@dataclass(frozen=True)
class Method:
    """An attribute that a package brings to all pipelines, or to all networks.

    Attributes:
        name: the name of the attribute.
        target: what the class would have under this name: a function whose first parameter is the
            object, or a `property`, `classmethod` or `staticmethod`.
        of: `"pipeline"` for all pipelines, `"network"` for all networks (`ModelMixin`).
    """

    name: str
    target: str
    of: Literal["pipeline", "network"] = "pipeline"


@dataclass(frozen=True)
class Module:
    """A module that is importable below `autopipe`, with everything below it.

    Attributes:
        name: the name, such as `"schedulers"` for `autopipe.schedulers`. If the core has a module
            of this name, names that it lacks are looked up in this one.
        target: the module that is imported in its place, such as `"autopipe_compat.schedulers"`.
    """

    name: str
    target: str


@dataclass(frozen=True)
class Probe:
    """Recognises a checkpoint that has no index, or whose index names no class.

    Attributes:
        folders: the component folders that every such checkpoint has; if one of them is absent,
            the target is not imported.
        target: a function `(index, configs) -> index or None`. It receives the index, which may be
            empty, and the config of every folder that exists; it returns a complete index, or
            None if the checkpoint does not belong to this family.
        others: folders that such a checkpoint may also have.
    """

    folders: tuple[str, ...]
    target: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Everything that a plugin provides.

    Attributes:
        name: the plugin's own name, a Python identifier.
        api: the API number that it was written for.
        pipelines, components, conditions, exports, probes: the entries for checkpoints and imports.
        tasks, addons, engines, runners, commands, readers, methods, modules: the entries for
            everything else.
        demo: the folder of a small checkpoint in the wheel, as `"package:relative/folder"`; it is
            loaded by the name `"demo:<name>"`. Without pipelines, the folder of a file that an
            add-on attaches.
    """

    name: str
    api: int = API
    pipelines: tuple[Pipeline, ...] = ()
    components: tuple[Component, ...] = ()
    conditions: tuple[Condition, ...] = ()
    exports: tuple[Export, ...] = ()
    probes: tuple[Probe, ...] = ()
    demo: str | None = None
    tasks: tuple[Task, ...] = ()
    addons: tuple[AddOn, ...] = ()
    engines: tuple[Engine, ...] = ()
    runners: tuple[Runner, ...] = ()
    commands: tuple[Command, ...] = ()
    readers: tuple[Reader, ...] = ()
    methods: tuple[Method, ...] = ()
    modules: tuple[Module, ...] = ()

    @property
    def own_lines(self) -> frozenset[str]:
        """The lines whose row without conditions this manifest declares."""
        return frozenset(p.line for p in self.pipelines if p.line and not p.conditions)

    @property
    def demo_opens(self) -> bool:
        """Whether there is a demo that opens as a pipeline, not one that is given to others."""
        return self.demo is not None and any(not p.conditions for p in self.pipelines)


Family = Manifest
"""The manifest of a plugin that provides a model family."""
