"""The page that a run of the kit ends with says what an author has to know."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from autopipe.errors import ArgumentError
from autopipe.manifest import Family
from autopipe_devkit.conformance.report import Report
from autopipe_devkit.conformance.verdict import Notes, Unjudged, Verdict, sentence_of

pytest_plugins = ["pytester"]

TESTS = """
from autopipe_devkit.conformance import Conformance

class TestConformance(Conformance):
    family = "doodle"
    size = (16, 16)
"""


def of(check: str, **known: object) -> Verdict:
    return Verdict("zoo", f"{check}-Zoo", f"{check} holds.", "Zoo", "text2image", **known)  # type: ignore[arg-type]


REPORT = Report(
    (
        Verdict("zoo", "manifest", "It is sound."),
        of("seed"),
        of("effects", outcome="failed", said="a|b has no effect\n<c> has no effect"),
        of("size", outcome="unjudged", said="the picture is of one colour"),
        of("batch", outcome="expected", said="it differs", reason="one image for all"),
        of("half", notes=Notes(["eta: no values", "clip: no values"], [], {"bf16": "yes"})),
        of("abilities", notes=Notes([], ["tiling fails: not yet"], {"tiling": "no: it fails"})),
    )
)


def test_each_thing_has_its_line() -> None:
    lines = [line.rstrip() for line in REPORT.as_text().splitlines()]
    for line in (
        "the plugin zoo",
        "Zoo, text2image",
        "  FAILED      effects: a|b has no effect",
        "              effects: <c> has no effect",
        "  NOT JUDGED  size: the picture is of one colour",
        "  expected    batch: one image for all",
        "              abilities: tiling fails: not yet",
        "  unchecked   eta, clip: no values",
        "  can         bf16",
        "  can't       tiling: it fails",
        "  passed      seed, half, abilities",
        "zoo: 7 checks, 4 passed, 1 failed, 1 could not be judged, 1 failed as expected",
    ):
        assert line in lines
    assert not REPORT.passed


def test_in_brief_it_is_what_is_wrong() -> None:
    assert REPORT.as_text(brief=True).splitlines() == [
        "Zoo, text2image",
        "  FAILED      effects: a|b has no effect",
        "              effects: <c> has no effect",
        "  NOT JUDGED  size: the picture is of one colour",
    ]
    well = Report((of("seed"), of("batch", outcome="expected", reason="so")))
    assert well.as_text(brief=True) == ""
    assert well.passed
    assert not Report(()).passed


def test_it_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    long = Report((of("seed", outcome="failed", said="word " * 60),))
    assert max(map(len, long.as_text().splitlines())) <= 60


@pytest.mark.parametrize("ending", [".md", ".html", ".json"])
def test_a_file_has_it_all(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"page{ending}"
    REPORT.write(file)
    text = file.read_text(encoding="utf-8")
    if ending == ".json":
        told = json.loads(text)
        assert not told["ok"]
        assert Report.of(told["checks"]) == REPORT
        return
    if ending == ".html":
        parser = HTMLParser()
        parser.feed(text)
        assert "<c>" not in text
    else:
        assert "effects: a\\|b has no effect<br>effects: &lt;c&gt; has no effect" in text
    assert "eta, clip: no values" in text


def test_another_ending_and_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    for name in ("page.txt", "page", "absent/page.md"):
        with pytest.raises(ArgumentError, match=r"page"):
            REPORT.write(tmp_path / name)


def test_the_sentence_of_a_failure_is_its_message() -> None:
    assert sentence_of(AssertionError("a is wrong\nb too\nassert 1 == 2\n +  where")) == (
        "a is wrong\nb too"
    )
    assert sentence_of(AssertionError("assert 1 == 2")) == ""
    assert sentence_of(ValueError("no such thing")) == "ValueError: no such thing"
    verdict = of("seed")
    verdict.failed(AssertionError("assert 1 == 2"))
    assert (verdict.outcome, verdict.said) == ("failed", "This does not hold: seed holds.")
    verdict.failed(Unjudged("it is grey"))
    assert (verdict.outcome, verdict.said) == ("unjudged", "it is grey")


def test_pytest_shows_it_and_writes_it(pytester: pytest.Pytester, doodle: Family) -> None:
    pytester.makepyfile(test_conformance=TESTS)
    only = ("-k", "protocol or manifest")
    result = pytester.runpytest_inprocess(*only, "--conformance-report=page.md")
    result.stdout.fnmatch_lines(
        ["*= conformance =*", "DoodlePipeline, text2image", "  passed * protocol", "doodle: 4 ch*"]
    )
    assert "## DoodlePipeline, text2image" in Path("page.md").read_text(encoding="utf-8")
    quiet = pytester.runpytest_inprocess(*only, "-q")
    quiet.stdout.no_fnmatch_line("*DoodlePipeline*")


def test_what_fails_outside_of_a_check_is_on_the_page(
    pytester: pytest.Pytester, doodle: Family
) -> None:
    pytester.makepyfile(test_conformance=TESTS + "    expected_failures = {'protocl': 'why'}\n")
    result = pytester.runpytest_inprocess("-k", "complete", "-q")
    result.stdout.fnmatch_lines(["  FAILED * complete: there are no such checks*"])


def test_a_run_without_checks_has_no_page(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    pytester.runpytest_inprocess().stdout.no_fnmatch_line("*conformance*")
