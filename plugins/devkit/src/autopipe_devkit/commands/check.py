"""`autopipe check`: runs the conformance kit without a test file."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from autopipe.checkpoint.address import DEMO, demo_folder
from autopipe.cli.arguments import size
from autopipe.cli.command import Run, explain, option, show
from autopipe.cli.text import paragraph, say
from autopipe.errors import ArgumentError, check_names
from autopipe.registry import default_registry
from autopipe.wording import listed, shown

ABOUT = (
    "Check what every family promises, for an installed one: that arguments have their effects, "
    "that calls leave alone what is their caller's, that what is saved loads again, and more. The "
    "page that is printed says what failed in plain sentences, what could not be judged, what was "
    "left unchecked, and what each pipeline can do. Checks run on the family's demo, unless a "
    "checkpoint or the family's own tests are given. Exit code 1 if a check failed, else 0."
)
EXAMPLES = (
    "autopipe check zoo",
    "autopipe check zoo --checkpoint ./tiny --size 32 --output report.html",
    "autopipe check zoo --tests tests/test_conformance.py",
)

EXCEPTIONS = (
    "A family may declare exceptions, with their reasons, in its own tests: give them with --tests."
)

SUITE = """
import pytest
from autopipe_devkit.conformance import Conformance

class TestConformance(Conformance):
    family = {family!r}
{size}
    @pytest.fixture
    def checkpoint(self):
        return {checkpoint!r}
"""


def declare(parser: argparse.ArgumentParser) -> Run:
    """Declare the arguments, and return the function that runs the command."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("family", metavar="FAMILY", help="an installed family, such as zoo")
    option(parser, "--checkpoint DIR", "a tiny checkpoint (default: the family's demo)")
    words = "pixels of pictures that calls start from, as 64x48 or 64 (default: 64)"
    option(parser, "--size SIZE", words, type=size)
    option(parser, "--tests FILE", "the family's own test of conformance, with its exceptions")
    option(parser, "--only CHECK", "run this check; may be given several times", many=True)
    option(parser, "--output FILE", "write the page too: .md, .html or .json")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Run the kit and print its report. Return 1 if a check failed, else 0."""
    from ..conformance.checks import OF_A_FAMILY, OF_A_MEMBER, OF_A_STAGE, OF_A_TASK
    from ..conformance.report import check_ending
    from ..conformance.running import checked

    families = default_registry().families
    if arguments.family not in families:
        raise ArgumentError(
            f"the family {shown(arguments.family)} is not installed; installed are "
            f"{listed(families) or 'none'}"
        )
    known = {**OF_A_FAMILY, **OF_A_MEMBER, **OF_A_STAGE, **OF_A_TASK}
    check_names(dict.fromkeys(arguments.only or ()), known, "there is no check")
    if arguments.output is not None:
        check_ending(Path(arguments.output))
    with tempfile.TemporaryDirectory() as scratch:
        tests = _tests(arguments, Path(scratch, "test_conformance.py"))
        report = checked(tests, arguments.family, arguments.only or ())
    if not report.verdicts and arguments.only:
        raise ArgumentError(
            f"no check named {listed(arguments.only)} applies to {arguments.family}; leave out "
            f"--only, or name other checks"
        )
    if not report.verdicts:
        raise ArgumentError(
            f"no check of {arguments.family} ran; {shown(arguments.tests)} needs a subclass of "
            f"Conformance with family = {shown(arguments.family)}"
        )
    show(arguments.json, report.as_plain(), report.as_text())
    if arguments.output is not None:
        report.write(Path(arguments.output))
        say(arguments.output, error=True)
    if not report.passed and arguments.tests is None:
        say(paragraph(EXCEPTIONS), error=True)
    return 0 if report.passed else 1


def _tests(arguments: argparse.Namespace, target: Path) -> Path:
    """Return the given test file; if there is none, write one to `target` and return that."""
    family, checkpoint = arguments.family, arguments.checkpoint
    if arguments.tests is not None:
        if checkpoint is not None or arguments.size is not None:
            raise ArgumentError("--tests says itself which checkpoint and size; leave out the rest")
        if not Path(arguments.tests).exists():
            raise ArgumentError(f"there is no {shown(arguments.tests)}; --tests takes a test file")
        return Path(arguments.tests).resolve()
    if checkpoint is None:
        if default_registry().families[family].demo is None:
            raise ArgumentError(
                f"{family} has no demo checkpoint; give a tiny one with --checkpoint, or the "
                f"family's own tests with --tests"
            )
        demo_folder(family, default_registry())
        given = f"{DEMO}{family}"
    elif Path(checkpoint).is_dir():
        given = str(Path(checkpoint).resolve())
    else:
        raise ArgumentError(f"there is no folder {shown(checkpoint)}; --checkpoint takes one")
    size = f"    size = {arguments.size}\n" if arguments.size else ""
    text = SUITE.format(family=family, size=size, checkpoint=given)
    target.write_text(text, encoding="utf-8")
    return target
