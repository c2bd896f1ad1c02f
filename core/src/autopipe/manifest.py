"""How a plugin says what it brings: data, and nothing that has to be imported to be read.

A plugin's entry point names a light module whose hook returns one `Manifest`, which is called
`Family` where it brings a model family. Everything that is heavy is named by a target, a string
`"module:Attribute"` that is imported on first use.

Cross-task links are cells of a table, not pairs: all pipelines of one *line* and one set of
*conditions* form a row, and switching task moves along the row. Cross-family links are
conditions: a plugin may declare rows of another family's line under a condition of its own,
and the keyword of that condition moves between the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .tasks import Input, Task

API = 2
"""The number of this interface. A manifest whose `api` is another one is not used."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline class.

    Attributes:
        name: the class name, as `_class_name` in a `model_index.json` gives it.
        target: where the class is defined.
        task: the name of the task that it serves, of several the primary one; None for members of
            a family that serve none.
        line: the row of the table it stands in; None where `task` is.
        conditions: the names of the conditions of that row.
        opens_as: the line whose pipeline an Auto class opens instead, where this class is a
            stage of a chain (a decoder that needs a prior).
        needs: the keyword by which the other stage of that chain is given, such as `prior`. It is
            also the key in the README's metadata that names its checkpoint, and the pipelines of
            the line `opens_as` call its components by that word, an underscore and their name.
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
    """A class that a checkpoint may name, known by the identity pair of its index entry.

    One of the library `"transformers"` stands for that class in checkpoints of the plugin's own
    lines; for all others it stays that of transformers.

    Attributes:
        name: the class name in the pair.
        target: where the class is defined.
        library: the library in the pair.
        kind: `"model"`, `"scheduler"` or `"other"`.
    """

    name: str
    target: str
    library: str = "diffusers"
    kind: Literal["model", "scheduler", "other"] = "model"


@dataclass(frozen=True)
class Condition:
    """A keyword of the Auto classes that moves to another row, such as `controlnet`.

    Attributes:
        name: what rows call it.
        keyword: the keyword, which is also the component that it brings.
        target: the class whose `from_pretrained` loads what is named on a command line; None if
            it can't be given there.
        inputs: what calls take with it, beyond those of the task.
        help: a line for the command line.
    """

    name: str
    keyword: str
    target: str | None = None
    inputs: tuple[Input, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class AddOn:
    """What attaches to a pipeline that is there, and changes how it draws.

    Attributes:
        name: by which `pipe.attach(name)` finds it.
        target: an `autopipe.attaching.attachment.Attachment` class.
        inputs: the keywords that it adds to calls while it is attached.
        help: a line for the command line.
    """

    name: str
    target: str
    inputs: tuple[Input, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Engine:
    """What runs a network of a pipeline in place of torch's eager mode.

    Attributes:
        name: by which `pipe.use_engine(name)` finds it.
        target: an `autopipe.attaching.engine.NetworkEngine` class.
    """

    name: str
    target: str


@dataclass(frozen=True)
class Command:
    """A subcommand of `autopipe`; its code is imported when it is called.

    Attributes:
        name: the word on the command line.
        target: a function that gets the `argparse.ArgumentParser` of the subcommand, declares
            its arguments, and returns the function that runs it: `(Namespace) -> exit code`.
        help: a line for the list of commands.
    """

    name: str
    target: str
    help: str = ""


@dataclass(frozen=True)
class Reader:
    """Knows the layout of a single-file checkpoint by the names of its tensors.

    Attributes:
        name: of the layout.
        keys: names of tensors that only files of this layout have, all of them.
        target: a function `(path, folder) -> None` that writes the file's content as a checkpoint
            folder.
    """

    name: str
    keys: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Export:
    """A further public name, importable from `autopipe` itself."""

    name: str
    target: str


@dataclass(frozen=True)
class Probe:
    """Recognises a checkpoint whose index names no class, or that has no index at all.

    Attributes:
        folders: the component folders that such a checkpoint has, at least; where one of them
            is absent the target is not imported.
        target: a function `(index, configs) -> index or None`. It gets the index as far as
            there is one, and the config of every folder that is there; it returns the content
            of a whole index, or None if the checkpoint is not of this family.
        others: folders that such a checkpoint may have too.
    """

    folders: tuple[str, ...]
    target: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Everything a plugin offers.

    Attributes:
        name: a Python identifier, the plugin's own.
        api: the interface number it was written for.
        pipelines, components, conditions, exports, probes: what it offers to checkpoints and
            importers.
        tasks, addons, engines, commands, readers: what it offers besides.
        demo: the folder of a small checkpoint in the wheel, as `"package:relative/folder"`. It
            loads by the name `"demo:<name>"`.
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
    commands: tuple[Command, ...] = ()
    readers: tuple[Reader, ...] = ()

    @property
    def own_lines(self) -> frozenset[str]:
        """The lines whose first row, without conditions, is here."""
        return frozenset(p.line for p in self.pipelines if p.line and not p.conditions)


Family = Manifest
"""The manifest of a plugin that brings a model family."""
