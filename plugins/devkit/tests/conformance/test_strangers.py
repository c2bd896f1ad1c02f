"""Tasks that the core doesn't know are checked by what their records say, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.manifest import Family
from autopipe_devkit.conformance.suite import implied

pytest_plugins = ["pytester"]

TESTS = """
import autopipe
import pytest
import torch
from autopipe_devkit.conformance import Conformance

class TestConformance(Conformance):
    family = "toys"

    @pytest.fixture
    def checkpoint(self):
        torch.manual_seed(0)
        parts = {"network": autopipe.ToyNetwork().eval(), "scheduler": autopipe.ToyScheduler()}
        return lambda pipeline: getattr(autopipe, pipeline.name)(**parts)

    def inputs(self, pipeline):
        return INPUTS if pipeline.task is None else {}
"""


OF_EVERY_TASK = {
    "protocol", "outputs", "seed", "threads", "cancel", "copies", "progress", "refusals", "views",
    "tasks", "placement", "attachments", "effects", "steps", "abilities", "half", "overlap",
    "unseeded", "untouched",
}  # fmt: skip
EXPECTED = {
    "ToyUnconditional": {"pictures", "tensors", "repeats", "callback", "replacing", "several"},
    "ToyVideo": {"batch", "repeats", "neighbours", "several"},
    "ToyAudio": {"batch", "neighbours"},
    "ToyEdit": {"pictures", "tensors", "batch", "neighbours", "size"},
}


def test_a_record_gives_occasion_to_its_checks(toys: Family) -> None:
    names = set(implied(toys))
    for pipeline, further in EXPECTED.items():
        found = {name.partition("-")[0] for name in names if name.endswith(f"-{pipeline}")}
        assert found == OF_EVERY_TASK | further | {"saves", "keeps", "optional"}, pipeline
    found = {name.split("-")[0] for name in names if name.endswith("-ToyEdit-retouch")}
    assert found == OF_EVERY_TASK | EXPECTED["ToyEdit"]
    found = {name.split("-")[0] for name in names if name.endswith("-ToyStage")}
    assert found == {"saves", "keeps", "optional", "call", "effects"}
    assert "samples" in names


def run(pytester: pytest.Pytester, inputs: dict[str, Any], *options: str) -> dict[str, int]:
    pytester.makepyfile(test_conformance=TESTS.replace("INPUTS", repr(inputs)))
    return pytester.runpytest_inprocess(*options).parseoutcomes()


def test_all_pass(toys: Family, pytester: pytest.Pytester) -> None:
    # It is registered at run time, so there is no entry point to look at.
    found = run(pytester, {"told": 0.5}, "-k", "not light")
    assert set(found) <= {"passed", "deselected"}, found
    assert found["passed"] == len(list(implied(toys)))


def test_a_pipeline_that_serves_nothing_is_called_or_it_is_said(
    toys: Family, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = ("-k", "call-ToyStage")
    assert run(pytester, {"told": 0.5}, *only).get("warnings", 0) == 0
    pytester.makepyfile(test_conformance=TESTS.replace("INPUTS", "{}"))
    result = pytester.runpytest_inprocess(*only)
    assert result.parseoutcomes()["warnings"] == 1
    result.stdout.fnmatch_lines(["*ToyStage was not called*gives no arguments*"])
    import autopipe_toys

    def noise(self: Any, told: float, generator: Any = None) -> Any:
        return autopipe_toys.AudiosOutput(torch.randn(2))

    monkeypatch.setattr(autopipe_toys.ToyStage, "__call__", noise)
    assert run(pytester, {"told": 0.5}, *only)["failed"] == 1


def the_first_for_all(draw: Any) -> Any:
    return lambda self, told, *given, **more: draw(self, told[:1] * len(told), *given, **more)


def of_no_seed(draw: Any) -> Any:
    return lambda self, told, shape, steps, generator: draw(self, told, shape, steps, None)


def no_numbers(draw: Any) -> Any:
    return lambda *given: draw(*given) * float("nan")


def never(check: Any) -> Any:
    return lambda self: None


@pytest.mark.parametrize(
    ("check", "method", "change"),
    [
        ("batch-ToyVideo", "draw", the_first_for_all),
        ("batch-ToyEdit-retouch", "draw", the_first_for_all),
        ("seed-ToyAudio", "draw", of_no_seed),
        ("outputs-ToyAudio", "draw", no_numbers),
        ("cancel-ToyAudio", "check_cancelled", never),
    ],
)
def test_a_broken_promise_is_found(
    check: str,
    method: str,
    change: Any,
    toys: Family,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import autopipe_toys

    toy = autopipe_toys.Toy
    pytester.makepyfile(test_conformance=TESTS.replace("INPUTS", "{}"))
    node = f"test_conformance.py::TestConformance::test_check[{check}]"
    assert pytester.runpytest_inprocess(node).parseoutcomes() == {"passed": 1}
    monkeypatch.setattr(toy, method, change(getattr(toy, method)))
    assert pytester.runpytest_inprocess(node).parseoutcomes() == {"failed": 1}
