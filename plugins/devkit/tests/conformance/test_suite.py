"""The suite runs what the manifest implies, no less, and knows expected failures."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autopipe.manifest import Family, Pipeline
from autopipe.registry import Registry
from autopipe_devkit.conformance.suite import implied

pytest_plugins = ["pytester"]

TESTS = """
from autopipe_devkit.conformance import Conformance

class TestConformance(Conformance):
    family = "doodle"
    size = (16, 16)
    expected_failures = {expected}
"""
FEW = "manifest or protocol or complete"


def test_one_test_for_each_check_and_pipeline(pytester: pytest.Pytester, doodle: Family) -> None:
    pytester.makepyfile(test_conformance=TESTS.format(expected={}))
    found, _ = pytester.inline_genitems()
    names = {item.name for item in found}
    assert names == {f"test_check[{name}]" for name in implied(doodle)} | {"test_complete"}
    assert "test_check[batch-DoodleInpaintPipeline]" in names
    assert "test_check[light]" in names


def outcomes(pytester: pytest.Pytester, expected: dict[str, str], *options: str) -> dict[str, int]:
    pytester.makepyfile(test_conformance=TESTS.format(expected=expected))
    return pytester.runpytest_inprocess("-k", FEW, *options).parseoutcomes()


def test_what_passes_and_what_the_command_line_leaves_out(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    found = outcomes(pytester, {})
    assert (found["passed"], found.get("failed", 0)) == (5, 0)


def test_an_expected_failure_that_passes_is_a_failure(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    assert outcomes(pytester, {"protocol": "not yet"})["failed"] == 3
    assert outcomes(pytester, {"protocol-DoodlePipeline": "not yet"})["failed"] == 1


def test_an_expected_failure_is_one(
    pytester: pytest.Pytester, doodle: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autopipe_doodle.text2image import DoodlePipeline

    monkeypatch.setattr(DoodlePipeline, "__text2image__", False)
    assert outcomes(pytester, {})["failed"] == 1
    found = outcomes(pytester, {"protocol-DoodlePipeline": "not yet"})
    assert (found["xfailed"], found.get("failed", 0)) == (1, 0)


@pytest.mark.parametrize("expected", [{"protocol-NoSuchPipeline": "why"}, {"protocl": "why"}])
def test_an_expected_failure_of_nothing_is_a_failure(
    expected: dict[str, str], pytester: pytest.Pytester, doodle: Family
) -> None:
    assert outcomes(pytester, expected)["failed"] == 1


def test_an_expected_failure_needs_a_reason(pytester: pytest.Pytester, doodle: Family) -> None:
    assert outcomes(pytester, {"protocol": ""})["failed"] == 4


def test_samples_of_what_no_call_takes_are_a_failure(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    samples = "    def samples(self, pipeline):\n        return {names}\n"
    some = '{"strength": (0.5, 1.0)}'  # text to image has none
    pytester.makepyfile(test_conformance=TESTS.format(expected={}) + samples.format(names=some))
    assert pytester.runpytest_inprocess("-k", FEW).parseoutcomes().get("failed", 0) == 0
    wrong = '{"strenght": (0.5, 1.0)}'
    pytester.makepyfile(test_conformance=TESTS.format(expected={}) + samples.format(names=wrong))
    result = pytester.runpytest_inprocess("-k", FEW)
    assert result.parseoutcomes()["failed"] == 1
    assert "no call takes strenght" in result.stdout.str()


def test_a_check_that_is_skipped_is_a_failure(pytester: pytest.Pytester, doodle: Family) -> None:
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'manifest' in item.name:\n"
        "            item.add_marker(pytest.mark.skip('too slow'))\n"
    )
    found = outcomes(pytester, {})
    assert (found["errors"], found.get("skipped", 0)) == (1, 0)


def test_a_check_that_was_taken_away_is_missed(pytester: pytest.Pytester, doodle: Family) -> None:
    pytester.makeconftest(
        "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [item for item in items if 'manifest' not in item.name]\n"
    )
    assert outcomes(pytester, {})["failed"] == 1


def test_a_pipeline_without_a_checkpoint_fails(pytester: pytest.Pytester, doodle: Family) -> None:
    pytester.makepyfile(
        test_conformance=TESTS.format(expected={})
        + "    import pytest\n"
        + "    @pytest.fixture\n"
        + "    def checkpoint(self):\n"
        + "        return {'DoodlePipeline': 'demo:doodle'}\n"
    )
    found = pytester.runpytest_inprocess("-k", "protocol").parseoutcomes()
    assert (found["passed"], found["failed"]) == (1, 2)


def test_a_checkpoint_that_is_no_fixture_is_told_in_a_sentence(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    pytester.makepyfile(
        test_conformance=TESTS.format(expected={}) + "    checkpoint = 'demo:doodle'\n"
    )
    result = pytester.runpytest_inprocess("-k", "seed-DoodlePipeline")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*make it a method with @pytest.fixture*"])


def test_a_checkpoint_may_be_made_for_each_pipeline(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    pytester.makepyfile(
        test_conformance=TESTS.format(expected={})
        + "    import pytest\n"
        + "    @pytest.fixture\n"
        + "    def checkpoint(self):\n"
        + "        return lambda pipeline: {'DoodlePipeline': 'demo:doodle'}[pipeline.name]\n"
    )
    found = pytester.runpytest_inprocess("-k", "protocol").parseoutcomes()
    assert (found["passed"], found["failed"]) == (1, 2)


def test_a_family_that_is_not_there_fails_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_conformance=TESTS.format(expected={}).replace("doodle", "nobody"))
    result = pytester.runpytest_inprocess()
    assert result.parseoutcomes()["failed"] == 4
    result.stdout.fnmatch_lines(["*the family nobody is not in use*"])


def test_rows_of_lines_that_are_not_installed_are_not_implied() -> None:
    added = Pipeline("P", "m:P", task=None)
    assert "saves-P" in set(implied(Family("f", pipelines=(added,)), Registry()))
    from autopipe.tasks import Task

    condition = Pipeline("C", "m:C", Task.INPAINT, "elsewhere", frozenset({"control"}))
    assert "saves-C" not in set(implied(Family("f", pipelines=(condition,)), Registry()))


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import autopipe_devkit.conformance.plugin, sys\n"
        "print([n for n in ('torch', 'numpy', 'autopipe.registry') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
