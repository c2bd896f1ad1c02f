"""The suite: a test class that the tests of a family subclass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from autopipe.checkpoint.address import DEMO, demo_folder
from autopipe.manifest import Manifest, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry, default_registry
from autopipe.resolution.targets import load_target
from autopipe.tasks import Task
from autopipe.wording import listed

from .checks import OF_A_FAMILY, OF_A_MEMBER, OF_A_STAGE, OF_A_TASK, of_family, of_task, tasks_of
from .checks.manifest import usable
from .plugin import VERDICT, deselected
from .samples import as_served
from .subject import Subject, parameters_of
from .verdict import Verdict

_saved = pytest.StashKey[dict[tuple[Any, str], Path]]()
"""The folders of pipelines that fixtures gave, by test class and pipeline."""


class Conformance:
    """Checks one family, with one test for each check and each pipeline that it applies to.

    Attributes:
        family: the name of the family.
        size: width and height of the pictures that are inputs of calls.
        expected_failures: the reasons why checks can't pass yet. A key is the name of a check,
            the name of a test such as `"batch-ZooPipeline"`, or one part of a check that has
            several parts, such as `"replacing-ZooPipeline.mask"`. A check that passes although
            it is expected to fail counts as failed.
    """

    family: ClassVar[str]
    size: ClassVar[tuple[int, int]] = (64, 64)
    expected_failures: ClassVar[Mapping[str, str]] = {}

    _autopipe_conformance: ClassVar[bool] = True

    @pytest.fixture
    def checkpoint(self) -> Any:
        """A tiny checkpoint; override this if the family ships no demo.

        Return a folder or a pipeline that serves for all pipelines. If they need different
        checkpoints, return a dict of them by line or by class name, or a function that takes the
        manifest's entry for a pipeline and returns one. What is a pipeline is asked for and saved
        once per class of the manifest.
        """
        return f"{DEMO}{self.family}"

    def inputs(self, pipeline: Pipeline) -> dict[str, Any]:
        """Return arguments of a call of `pipeline` in addition to those that its task implies.

        For a pipeline that serves no task by itself, such as a stage of a chain, return all
        arguments except the generator, which the kit creates for each call. Such a pipeline is
        not called if this returns an empty dict.
        """
        return {}

    def samples(self, pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
        """Return two values for each of further arguments of a call of `pipeline`.

        Every call is made with the first value; the second one must change the result. Arguments
        that a call of this pipeline doesn't take are ignored.
        """
        return {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize `test_check` with the checks that the manifest implies."""
        if "check" in metafunc.fixturenames:
            family = default_registry().families.get(self.family)
            metafunc.parametrize("check", [self._parameter(name) for name in implied(family)])

    def _parameter(self, name: str) -> Any:
        reasons = self.expected_failures
        reason = reasons.get(name, reasons.get(name.partition("-")[0]))
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True),)
        return pytest.param(name, id=name, marks=marks)

    def test_check(self, check: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        """Run one check of the family or of one of its pipelines."""
        name, class_name, task = [*check.split("-", 2), "", ""][:3]
        demand: Any = {**OF_A_FAMILY, **OF_A_MEMBER, **OF_A_STAGE, **OF_A_TASK}[name]
        told = " ".join((demand.__doc__ or "").split())
        verdict = Verdict(self.family, check, told, class_name, task)
        try:
            if class_name:
                demand(self._subject(verdict, request, tmp_path))
            else:
                demand(self._family())
        except Exception as error:
            verdict.failed(error)
            raise
        finally:
            request.node.user_properties.append((VERDICT, verdict.as_plain()))

    def _subject(self, verdict: Verdict, request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
        """Return the subject of the check of `verdict`, with `tmp_path` for what it writes."""
        family = self._family()
        pipeline = next(p for p in family.pipelines if p.name == verdict.pipeline)
        serves = Task(verdict.task) if verdict.task else next(iter(tasks_of(pipeline)), None)
        verdict.task = str(serves or "")
        folder = _folder(request, pipeline)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        taken = parameters_of(load_target(pipeline.target))
        return Subject(
            family,
            pipeline,
            folder,
            scratch,
            None if serves is None else as_served(serves, taken),
            inputs=self.inputs(pipeline),
            size=self.size,
            notes=verdict.notes,
            excused=dict(self._excused(verdict)),
            samples={n: two for n, two in self.samples(pipeline).items() if n in taken},
        )

    def _excused(self, verdict: Verdict) -> Iterator[tuple[str, str]]:
        """Yield the parts of the check of `verdict` that are expected to fail, with the reasons."""
        for name, reason in self.expected_failures.items():
            test, _, part = name.partition(".")
            if part and test in (verdict.check, verdict.name):
                yield part, reason

    def test_complete(self, request: pytest.FixtureRequest) -> None:
        """Check that every implied check is collected, and that every setting is valid."""
        names = set(implied(self._family()))
        prefix = request.node.nodeid.rpartition("::")[0] + "::test_check["
        found = {item.nodeid for item in request.session.items}
        left_out: set[str] = request.config.stash.get(deselected, set())
        ran = {
            node.removeprefix(prefix)[:-1] for node in found | left_out if node.startswith(prefix)
        }
        assert names - ran == set(), "fewer checks ran than the manifest implies"
        known = names | {name.partition("-")[0] for name in names}
        expected = {name.partition(".")[0] for name in self.expected_failures}
        assert expected - known == set(), "there are no such checks"
        assert all(self.expected_failures.values()), "an expected failure needs a reason"
        pipelines = list(usable(self._family()))
        sampled = {name for pipeline in pipelines for name in self.samples(pipeline)}
        unknown = sampled.difference(*(parameters_of(load_target(p.target)) for p in pipelines))
        assert not unknown, f"no call takes {listed(sorted(unknown))}, of which there are samples"

    def _family(self) -> Manifest:
        registry = default_registry()
        found = registry.families.get(self.family)
        assert found is not None, f"the family {self.family} is not in use. " + (
            " ".join(map(str, registry.problems)) or "Install its package."
        )
        return found


def implied(family: Manifest | None, registry: Registry | None = None) -> Iterator[str]:
    """Yield the checks that a manifest implies: `check`, `check-Pipeline`, `check-Pipeline-task`.

    The name omits the primary task of a pipeline. A row that the family adds to the line of
    another family counts if that family is installed.
    """
    yield from of_family(family)
    for pipeline in usable(family, registry) if family else ():
        tasks = tasks_of(pipeline)
        once = OF_A_MEMBER if tasks else {**OF_A_MEMBER, **OF_A_STAGE}
        yield from (f"{check}-{pipeline.name}" for check in once)
        for number, task in enumerate(tasks):
            further = f"-{task}" if number else ""
            yield from (f"{check}-{pipeline.name}{further}" for check in of_task(task))


def _given(request: pytest.FixtureRequest) -> Any:
    """Return the value of the fixture `checkpoint`."""
    try:
        return request.getfixturevalue("checkpoint")
    except pytest.FixtureLookupError as error:
        if error.argname != "checkpoint":
            raise
        raise AssertionError(
            "the class sets 'checkpoint' to a value: make it a method with @pytest.fixture"
        ) from None


def _folder(request: pytest.FixtureRequest, pipeline: Pipeline) -> Path:
    """Return the folder of the checkpoint for `pipeline`; a given pipeline is saved once per run.

    No check writes to the folder, and saving takes longer than many of them.
    """
    saved = request.config.stash.setdefault(_saved, {})
    key = (request.cls, pipeline.name)
    if key in saved:
        return saved[key]
    given = _given(request)
    if isinstance(given, Mapping):
        found = given.get(pipeline.name, given.get(pipeline.line))
        assert found is not None, (
            f"the fixture 'checkpoint' has none for {pipeline.name}: give one by that name or by "
            f"its line {pipeline.line!r}"
        )
        given = found
    elif callable(given) and not isinstance(given, DiffusionPipeline):
        given = given(pipeline)
    if isinstance(given, DiffusionPipeline):
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        target = factory.mktemp(pipeline.name)
        given.save_pretrained(target)
        return saved.setdefault(key, target)
    text = str(given)
    if text.startswith(DEMO):
        return demo_folder(text.removeprefix(DEMO), default_registry())
    return Path(given)
