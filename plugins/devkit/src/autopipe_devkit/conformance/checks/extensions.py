"""Checks of a plugin's extensions, such as tasks, conditions, add-ons and commands."""

from __future__ import annotations

import argparse
import inspect

import autopipe
from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.checkpoint.single.layout import Layout
from autopipe.manifest import Manifest
from autopipe.resolution.targets import load_target

from ..samples import MADE
from .manifest import usable

PLACES = ("answers", "encode", "predict", "after_step")
"""The methods with which an add-on acts on a pipeline."""


def samples(family: Manifest) -> None:
    """Every declared task has an Auto class, and samples of the inputs that its calls require."""
    for task in family.tasks:
        assert getattr(autopipe, task.auto_class).__name__ == task.auto_class
        needed = [one.name for one in task.inputs if one.required and one.kind not in MADE]
        assert [name for name in needed if name not in task.samples] == [], (
            f"the task {task} needs a sample of every input but pictures and masks"
        )
        if task.protocol is not None:
            assert isinstance(load_target(task.protocol), type)


def conditions(family: Manifest) -> None:
    """The pipelines of a condition take its inputs, and have a component named as its keyword.

    A condition whose keyword is a flag has no component.
    """
    for condition in family.conditions:
        rows = [p for p in usable(family) if condition.name in p.conditions]
        for pipeline in rows:
            cls = load_target(pipeline.target)
            assert condition.flag or condition.keyword in cls.module_names(), (
                f"{pipeline.name} has no component {condition.keyword}"
            )
            taken = inspect.signature(cls.__call__).parameters
            absent = [given.name for given in condition.inputs if given.name not in taken]
            assert absent == [], f"a call of {pipeline.name} takes no {', '.join(absent)}"
        if condition.flag:
            assert condition.target is None, f"the flag {condition.keyword} has a target"
        if condition.target is not None:
            assert callable(load_target(condition.target).from_pretrained)


def addons(family: Manifest) -> None:
    """Every add-on is an `Attachment` that acts on something, and has the declared inputs."""
    for addon in family.addons:
        cls = load_target(addon.target)
        assert issubclass(cls, Attachment)
        assert any(map(cls.overrides, PLACES)), f"{addon.name} touches nothing of a pipeline"
        assert cls.inputs == addon.inputs, f"{addon.name} takes other inputs than the manifest says"


def engines(family: Manifest) -> None:
    """Every engine is a `NetworkEngine` that prepares networks."""
    for engine in family.engines:
        cls = load_target(engine.target)
        assert issubclass(cls, NetworkEngine)
        assert cls.prepare is not NetworkEngine.prepare, f"{engine.name} prepares nothing"


def runners(family: Manifest) -> None:
    """Every runner takes groups of jobs, what makes their worker, and how many are wanted."""
    for runner in family.runners:
        given = dict.fromkeys(("workers", "devices", "threads", "stopping"))
        inspect.signature(load_target(runner.target)).bind((), None, **given)


def commands(family: Manifest) -> None:
    """Every command has a description and a help text, and returns the function that runs it."""
    for command in family.commands:
        assert command.help, f"the command {command.name} has no line for the list of commands"
        parser = argparse.ArgumentParser(prog=f"autopipe {command.name}")
        run = load_target(command.target)(parser)
        assert callable(run), f"{command.target} must return the function that runs it"
        assert parser.description, f"the command {command.name} doesn't say what it does"
        assert parser.format_help()


def readers(family: Manifest) -> None:
    """Every reader has keys that identify its files, and is a layout, or takes file and folder."""
    for reader in family.readers:
        assert reader.keys, f"the reader {reader.name} would take any file"
        target = load_target(reader.target)
        if isinstance(target, type):
            assert issubclass(target, Layout), f"{reader.target} is not a Layout"
            missing = ", ".join(sorted(target.__abstractmethods__))
            assert not missing, f"{reader.target} lacks {missing}"
        else:
            inspect.signature(target).bind("file", "folder")
