"""The suite of an engine: a test class that the tests of an engine subclass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from autopipe.attaching.engine import NetworkEngine
from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target

from .checks import tasks_of
from .checks.engines import OF_AN_ENGINE
from .checks.manifest import usable
from .engined import Engined
from .plugin import VERDICT
from .subject import Subject
from .verdict import Verdict


class EngineConformance:
    """Checks one engine on the networks of a tiny checkpoint, with one test for each check.

    Attributes:
        engine: the name of the engine.
        options: the arguments of its class.
        family: the family whose demo it runs, which must be installed.
        size: width and height of the pictures.
        expected_failures: the reasons why checks can't pass yet, by name of the check. A check
            that passes although it is expected to fail counts as failed.
    """

    engine: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    family: ClassVar[str] = "stable_diffusion"
    size: ClassVar[tuple[int, int]] = (64, 64)
    expected_failures: ClassVar[Mapping[str, str]] = {}

    _autopipe_conformance: ClassVar[bool] = True

    def make(self) -> NetworkEngine:
        """Return a new engine; override this for one that the registry doesn't know."""
        target = default_registry().entry("engine", self.engine).target
        made: NetworkEngine = load_target(target)(**self.options)
        return made

    @pytest.fixture
    def checkpoint(self) -> Path:
        """The folder of a tiny checkpoint of the family; override this for another than its demo.

        Its networks must answer to their weights, so that changes show.
        """
        return demo_folder(self.family, default_registry())

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize `test_check` with the checks."""
        if "check" in metafunc.fixturenames:
            unknown = set(self.expected_failures) - set(OF_AN_ENGINE)
            assert not unknown, f"there are no such checks: {', '.join(sorted(unknown))}"
            metafunc.parametrize("check", [self._parameter(name) for name in OF_AN_ENGINE])

    def _parameter(self, name: str) -> Any:
        reason = self.expected_failures.get(name)
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True),)
        return pytest.param(name, id=name, marks=marks)

    def test_check(
        self, check: str, checkpoint: Path, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        """Run one check of the engine."""
        demand = OF_AN_ENGINE[check]
        verdict = Verdict(self.engine, check, " ".join((demand.__doc__ or "").split()))
        try:
            demand(Engined(self.make, self._subjects(checkpoint, tmp_path)))
        except Exception as error:
            verdict.failed(error)
            raise
        finally:
            request.node.user_properties.append((VERDICT, verdict.as_plain()))

    def _subjects(self, folder: Path, scratch: Path) -> tuple[Subject, ...]:
        """Return the first pipeline of the family and those for other tasks in its row."""
        family = default_registry().families[self.family]
        every = [pipeline for pipeline in usable(family) if tasks_of(pipeline)]
        row = [p for p in every if (p.line, p.conditions) == (every[0].line, every[0].conditions)]
        return tuple(
            Subject(family, one, folder, scratch, tasks_of(one)[0], size=self.size) for one in row
        )
