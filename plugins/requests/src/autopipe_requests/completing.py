"""Completes what people write to requests, and checks it before anything is loaded.

People write a mapping: on the command line by options, in a file of jobs by fields. Its keys are
those of `Request`, the arguments of the call, and the short names of `SHORT`, of inputs, conditions
and add-ons. What follows from the installed packages and the checkpoint is added.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopipe.cli import checkpoint as checkpoints
from autopipe.cli.options import stage_keywords
from autopipe.errors import ArgumentError, ImageFileError
from autopipe.registry import Registry, default_registry
from autopipe.regular import is_file
from autopipe.tasks import Input, Task
from autopipe.wording import clean, cut, shown

from .fields import Fields
from .inputs import FILES, PICTURES, Spell, attaching, is_address, key_of, owners_of, task_of
from .request import Addition, Checkpoint, Request, Stage

SHORT: Mapping[str, str] = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "negative": "negative_prompt",
}
"""Short names of arguments of calls."""

KEYS = (
    *SHORT, *Request.model_fields, "model", "attach", "fast", "revision", "variant", "dtype",
    "config",
)  # fmt: skip
"""Keys that every mapping can have, besides names of arguments, inputs, conditions and add-ons."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A request whose arguments have not been checked yet, because that takes its class.

    Attributes:
        opened: the checkpoint, of which the index has been read.
        task: the task; None for a pipeline that serves no task.
        inputs: the inputs that the task, the conditions and the add-ons declare, by name once.
        arguments: the arguments of the call by name, as they were given.
        keys: for these names, the keys that were written.
        chosen: those of them that stood in `arguments`.
        fields: the other fields of the request.
    """

    opened: checkpoints.Checkpoint
    task: Task | None
    inputs: tuple[Input, ...]
    arguments: Mapping[str, Any]
    keys: Mapping[str, str]
    chosen: frozenset[str] = frozenset()
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None


class Completion:
    """Completes requests for one registry; the checkpoints that it opens are kept.

    Args:
        registry: the installed packages.
        spell: how users write a key, for messages.
        spell_argument: how users write the name of an argument in `arguments`.
        folder: the folder of relative paths of files; by default the current one.
        find: returns where a file is, by its path and its hash or None; by default at its path in
            `folder`.
        local_only: whether only what is on this machine is used.
        otherwise: what users can do to use a file that has changed since its hash was written; by
            default leave out the hash.

    Attributes:
        identities: the fields with pinned checkpoints, by what these depend on.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        spell: Spell = shown,
        spell_argument: Spell | None = None,
        folder: Path | None = None,
        find: Callable[[str, str | None], Path] | None = None,
        local_only: bool = False,
        otherwise: str = "",
    ) -> None:
        self.registry = registry or default_registry()
        self.spell, self.otherwise = spell, otherwise
        self.find = find or (lambda file, _: (folder or Path()) / os.path.expanduser(file))
        self.local_only = local_only
        self._spell_argument = spell_argument or spell
        self._opened: dict[tuple[Checkpoint, str | None], checkpoints.Checkpoint] = {}
        self.identities: dict[tuple[Any, ...], dict[str, Any]] = {}

    @property
    def loading(self) -> Mapping[str, Any]:
        """The options of loading that keep to this machine if only that is used."""
        return {"local_files_only": True} if self.local_only else {}

    def complete(self, given: Mapping[str, Any]) -> Request:
        """Return the request that a mapping describes.

        Raises:
            ArgumentError: if arguments contradict each other, aren't valid for the call, or name
                something that isn't installed.
            CheckpointError: if there is no such checkpoint.
            ImageFileError: if an input file is absent or can't be read.
            MissingPluginError: if no model is given and no family ships a demo.
            UnsupportedCheckpointError: if no installed family supports the task for it.
        """
        return self.finished(self.draft(given))

    def draft(self, given: Mapping[str, Any]) -> Draft:
        """Return the request without checking the arguments of its call, reading only the index.

        Raises:
            AutopipeError: as for `complete`.
        """
        registry, read = self.registry, Fields(given, self.registry, self.spell)
        arguments = {**read.take("arguments", dict[str, Any], {})}
        task = read.take("task", str)
        fields: dict[str, Any] = {
            "stages": read.stages(stage_keywords(registry)),
            "conditions": read.conditions(),
            "addons": tuple(read.addons()),
            "engine": read.engine(),
            "size": read.size(),
            "scheduler": read.scheduler(),
            "seed": read.seed(),
            "upscale": tuple(self._stage(one) for one in read.texts("upscale")),
        }
        named, revision = read.checkpoint(task)
        owners = owners_of(registry, self.spell)
        # `prompt` is both: a key, and the name of an argument.
        given_keys = {key: one for key, one in read.rest.items() if key in owners}
        rest = {key: one for key, one in read.rest.items() if key not in owners} | arguments
        others = {SHORT.get(key, key): one for key, one in rest.items()}
        keys = {SHORT.get(key, key): key for key in rest}
        asked = self._asked(fields)
        inputs = self._further_inputs(asked, given_keys, others, owners)
        opened = self._open(named, revision)
        taken = {key_of(one) for one in inputs}
        left = [key for key in given_keys if key not in taken]
        declared = [one for each in registry.tasks for one in each.inputs]
        also = [key_of(one) for one in declared if one.name in others]
        conditions = [name for name, one in fields["conditions"].items() if one is not False]
        name = opened.index.class_name
        found = task_of(
            task, name, conditions, [*given_keys, *also], left, registry, self.spell
        )  # fmt: skip
        by_key = {key_of(one): one for one in reversed(found.inputs if found else declared)}
        inputs += [one for key, one in by_key.items() if key in left]
        self._check_once(inputs, given_keys, others)
        self._check_files(inputs, given_keys)
        if opened.commit:
            named = named.model_copy(update={"commit": opened.commit})
        if fields["seed"] is None:
            fields["seed"] = secrets.randbelow(2**32)
        written = {one.name: given_keys[key_of(one)] for one in inputs if key_of(one) in given_keys}
        known = (
            *inputs,
            *(one for each in asked.values() for one in each),
            *(found.inputs if found else declared),
        )
        return Draft(
            opened=opened,
            task=found,
            inputs=tuple({one.name: one for one in reversed(known)}.values()),
            arguments={**written, **others},
            keys={**{one.name: key_of(one) for one in inputs}, **keys},
            chosen=frozenset(arguments),
            fields={**fields, "checkpoint": named},
        )

    def finished(self, draft: Draft) -> Request:
        """Return the request of a draft, with its arguments checked and its files hashed.

        Raises:
            AutopipeError: as for `complete`.
        """
        from .checking import checked

        return checked(draft, self)

    def spelled(self, draft: Draft, name: str) -> str:
        """Return how the user wrote the name of an argument."""
        if name in draft.chosen:
            return self._spell_argument(name)
        return self.spell(draft.keys.get(name, name))

    def written(self, draft: Draft, name: str, text: str) -> str:
        """Return how the user wrote an argument with its value."""
        between = "=" if name in draft.chosen else " "
        return f"{self.spelled(draft, name)}{between}{cut(clean(text))}"

    def _open(self, named: Checkpoint, revision: str | None) -> checkpoints.Checkpoint:
        """Open a checkpoint, or the single file that `config` completes."""
        key = named, revision
        if key not in self._opened:
            if named.config is None:
                self._opened[key] = checkpoints.open_checkpoint(
                    named.name, self.registry, revision, local_only=self.local_only
                )
            elif not is_file(os.path.expanduser(named.name)):
                raise ArgumentError(
                    f"{self.spell('config')} is for a single file, and {shown(named.name)} is not "
                    f"one"
                )
            else:
                from autopipe.checkpoint.single_file import open_pipeline

                how = {"config": named.config, **self.loading}
                found = open_pipeline(named.name, how, self.registry)
                self._opened[key] = checkpoints.Checkpoint(found.source, found.index)
        return self._opened[key]

    def _stage(self, given: Any) -> Stage:
        """Return a stage that enlarges, after checking that a family can open its checkpoint."""
        mapping = given if isinstance(given, Mapping) else {"model": given}
        read = Fields(mapping, self.registry, self.spell)
        arguments = {**read.take("arguments", dict[str, Any], {})}
        size, scheduler = read.size(), read.scheduler()
        named, revision = read.checkpoint(None)
        opened = self._open(named, revision)
        self.registry.resolve(opened.index.class_name)
        if opened.commit:
            named = named.model_copy(update={"commit": opened.commit})
        arguments |= {SHORT.get(key, key): one for key, one in read.rest.items()}
        arguments |= dict(zip(("width", "height"), size or ()))
        return Stage(checkpoint=named, scheduler=scheduler, arguments=arguments)

    def _asked(self, fields: Mapping[str, Any]) -> dict[str, Sequence[Input]]:
        """Return the inputs of the requested conditions and add-ons, by how users write these."""
        registry, spell = self.registry, self.spell
        asked: dict[str, Sequence[Input]] = {
            spell(keyword): registry.conditions[keyword].inputs
            for keyword, one in fields["conditions"].items()
            if one is not False
        }
        additions: Sequence[Addition] = fields["addons"]
        for addition in additions:
            addon = registry.entry("addon", addition.addon)
            asked[attaching(addition.addon, addon, spell)] = addon.inputs
        return asked

    def _further_inputs(
        self,
        asked: Mapping[str, Sequence[Input]],
        given: Mapping[str, Any],
        others: Mapping[str, Any],
        owners: Mapping[str, str],
    ) -> list[Input]:
        """Return the given ones of the inputs of conditions and add-ons."""
        spell = self.spell
        found: list[Input] = []
        for owner, inputs in asked.items():
            for one in inputs:
                if key_of(one) in given:
                    found.append(one)
                elif one.required and one.name not in others:
                    hint = spell(key_of(one))
                    raise ArgumentError(f"{owner} needs {one.help or 'an input'}; give {hint}")
        taken = {key_of(one) for one in found}
        for key in given:
            if owners[key] and key not in taken:
                raise ArgumentError(f"{spell(key)} needs {owners[key]}; also give {owners[key]}")
        return found

    def _check_once(
        self, inputs: Sequence[Input], given: Mapping[str, Any], others: Mapping[str, Any]
    ) -> None:
        for one in inputs:
            if one.name in others and key_of(one) in given:
                both = f"{self._spell_argument(one.name)} and {self.spell(key_of(one))}"
                raise ArgumentError(f"{both} set the same argument; give only one")

    def _check_files(self, inputs: Sequence[Input], given: Mapping[str, Any]) -> None:
        for one in inputs:
            value = given.get(key_of(one)) if one.kind in FILES else None
            name = value.get("file") if isinstance(value, Mapping) else value
            if not isinstance(name, str) or (one.kind in PICTURES and is_address(name)):
                continue
            if not is_file(self.find(name, None)):
                what = "image" if one.kind in PICTURES else one.kind
                raise ImageFileError(
                    f"the {what} {shown(name)} of {self.spell(key_of(one))} doesn't exist"
                )
