"""The verdict of a check: its outcome, the reasons, and its findings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


class Unjudged(AssertionError):
    """Raised if a check can't observe an effect, for example in a picture without contrast.

    The test fails. The message says why the check can't judge.
    """


@dataclass
class Notes:
    """The findings of a check.

    Attributes:
        unchecked: what was not checked, as texts like "eta: no two values of it are known".
        expected: the faults that the author expects, with the reasons.
        abilities: the abilities by name: "yes", or "no: " and the reason.
    """

    unchecked: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    abilities: dict[str, str] = field(default_factory=dict)


@dataclass
class Verdict:
    """The result of one test of the suite, for the report.

    Attributes:
        family: the name of the family.
        name: the name of the test, such as "batch-ZooPipeline".
        demands: the requirement that is checked, in one or more sentences.
        pipeline: the pipeline class, or empty for a check of the whole family.
        task: the task of the calls, or empty.
        outcome: "passed", "failed", "unjudged" or "expected", which is a failure with a reason.
        said: why the outcome is not "passed".
        reason: why the failure is expected.
        notes: see `Notes`.
    """

    family: str
    name: str
    demands: str = ""
    pipeline: str = ""
    task: str = ""
    outcome: str = "passed"
    said: str = ""
    reason: str = ""
    notes: Notes = field(default_factory=Notes)

    @property
    def check(self) -> str:
        """The name of the check."""
        return self.name.partition("-")[0]

    def failed(self, error: BaseException) -> None:
        """Record that the check raised `error`."""
        self.outcome = "unjudged" if isinstance(error, Unjudged) else "failed"
        self.said = sentence_of(error) or f"This does not hold: {self.demands}"

    def as_plain(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Verdict:
        """Return the verdict from the result of `as_plain`."""
        return cls(**{**plain, "notes": Notes(**plain.get("notes", {}))})


def sentence_of(error: BaseException) -> str:
    """Return the message of a failed check without the text that pytest adds; empty if none."""
    lines = str(error).strip().splitlines()
    # Below the message, pytest lists the values that an `assert` compared.
    ends = (number for number, line in enumerate(lines) if line.startswith(("assert ", "  +")))
    text = "\n".join(lines[: next(ends, len(lines))]).strip()
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
