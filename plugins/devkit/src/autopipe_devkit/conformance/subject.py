"""The subject of a check: a pipeline of a plugin, with a checkpoint and inputs."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.manifest import Manifest, Pipeline
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe.tasks import Input, Task

from .samples import KNOWN, chosen, generators, made_of
from .verdict import Notes

if TYPE_CHECKING:
    import numpy as np

    from autopipe.pipeline.base import DiffusionPipeline


@dataclass(frozen=True)
class Subject:
    """A pipeline under test.

    Attributes:
        family: the manifest.
        pipeline: its entry for the pipeline.
        folder: a tiny checkpoint that the pipeline's class can load.
        scratch: an empty folder.
        serves: the task of the calls; None for a pipeline that serves no task by itself.
        inputs: the author's arguments of a call, in addition to those that the task implies.
        size: width and height of the pictures that are inputs of calls.
        notes: the findings of a check, for the report.
        excused: the parts of a check that are expected to fail, with the reasons.
        samples: the author's values of arguments, two for each.
    """

    family: Manifest
    pipeline: Pipeline
    folder: Path
    scratch: Path
    serves: Task | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (64, 64)
    notes: Notes = field(default_factory=Notes)
    excused: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def cls(self) -> Any:
        """The pipeline's class."""
        return load_target(self.pipeline.target)

    @property
    def task(self) -> Task:
        """The task, for checks that only run for pipelines that serve one."""
        assert self.serves is not None
        return self.serves

    @property
    def can_be_called(self) -> bool:
        """Whether the arguments of a call are known."""
        return self.serves is not None or bool(self.inputs)

    @property
    def row(self) -> list[tuple[Task, Pipeline]]:
        """The tasks that the checkpoint can be switched to, with their pipelines."""
        own = (self.pipeline.line, self.pipeline.conditions)
        found = [(task, p) for task, of_task in default_registry().tasks.items() for p in of_task]
        return [(task, p) for task, p in found if (p.line, p.conditions) == own]

    def judge(self, faults: Mapping[str, str]) -> None:
        """Fail if there are faults that are not expected; the keys are parts of the check.

        Raises:
            AssertionError: if there is an unexpected fault, or an expected one is absent.
        """
        wrong = [told for part, told in faults.items() if part not in self.excused]
        for part, reason in self.excused.items():
            if part in faults:
                self.notes.expected.append(f"{faults[part]}: {reason}")
            else:
                wrong.append(f"{part} is expected to fail, and doesn't")
        assert not wrong, "\n".join(wrong)

    def load(self, **changes: Any) -> DiffusionPipeline:
        """Load and return the pipeline, with the progress bar disabled."""
        with quiet():
            pipe: DiffusionPipeline = self.cls.from_pretrained(self.folder, **changes)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def arguments(self, seed: int = 0, second: bool = False, **changes: Any) -> dict[str, Any]:
        """Return the arguments of a call: those of the task, the author's, then `changes`.

        Args:
            seed: the seed of the generator, if the call takes one.
            second: take the second value of every sample that has two.
        """
        given: dict[str, Any] = {}
        taken = self.taken
        if self.serves is not None:
            taken = self.serves.parameters
            given = {"output_type": "np"} if "output_type" in taken else {}
            given |= self.made(self.size, second) | chosen(self.serves.samples, second)
        if "generator" in taken:
            (given["generator"],) = generators(seed)
        return {**given, **self.inputs, **chosen(self.samples, second), **changes}

    def alternatives(self) -> dict[str, Any]:
        """Return another value than in `arguments` for every argument with two samples, by name."""
        from .traces import same

        samples = {name: KNOWN[name] for name in self.taken if name in KNOWN}
        samples |= self.serves.samples if self.serves is not None else {}
        samples |= self.samples
        made = self.made(self.size, second=True)
        found: dict[str, Any] = {}
        defaults = inspect.signature(self.cls.__call__).parameters
        present = {name: defaults[name].default for name in self.taken} | self.arguments()
        for value in (chosen(samples), chosen(samples, second=True) | made):
            found |= {n: one for n, one in value.items() if not same(one, present.get(n))}
        return found

    def made(self, size: tuple[int, int], second: bool = False) -> dict[str, Any]:
        """Return pictures and masks of `size` for the inputs of the task and the conditions."""
        if self.serves is None:
            return {}
        return made_of([*self.serves.inputs, *self._inputs_of_conditions()], size, second)

    @property
    def taken(self) -> tuple[str, ...]:
        """The names of the parameters of a call."""
        return parameters_of(self.cls)

    def _inputs_of_conditions(self) -> Iterator[Input]:
        for condition in default_registry().conditions.values():
            if condition.name in self.pipeline.conditions:
                yield from condition.inputs

    def output(self, pipe: DiffusionPipeline, seed: int = 0, **changes: Any) -> Any:
        """Return the output of a call; `changes` as for `arguments`."""
        with quiet():
            return pipe(**self.arguments(seed, **changes))

    def result(self, pipe: DiffusionPipeline, seed: int = 0, **changes: Any) -> np.ndarray:
        """Return the result of a call as an array; pictures are (B, H, W, C) in [0, 1]."""
        output = self.output(pipe, seed, **changes)
        return as_array(output[0] if self.serves is None else getattr(output, self.serves.output))


def parameters_of(cls: Any) -> tuple[str, ...]:
    """Return the names of the parameters of a call of a pipeline class."""
    return tuple(inspect.signature(cls.__call__).parameters)[1:]


def as_array(made: Any) -> np.ndarray:
    """Return a tensor, a picture, or a sequence of them of one shape, as an array."""
    import numpy as np
    import torch

    if isinstance(made, torch.Tensor):
        return made.detach().cpu().float().numpy()
    if isinstance(made, (list, tuple)):
        return np.stack([as_array(one) for one in made])
    return np.asarray(made)


@contextmanager
def quiet() -> Iterator[None]:
    """Context manager that suppresses warnings, since tiny checkpoints may be unusual.

    It only acts in the main thread, because the warning filters belong to the whole process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
