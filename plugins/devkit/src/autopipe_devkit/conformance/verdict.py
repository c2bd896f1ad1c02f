"""What a check has to say beside whether it passed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


class Unjudged(AssertionError):
    """A check can't see what it looks for, such as an effect on a picture without any contrast.

    Its test fails. The message says why, and what would help.
    """


@dataclass
class Notes:
    """What a check found out.

    Attributes:
        unchecked: what was left out, a sentence each, such as "eta: the task gives no two values".
        expected: faults that the author expects, with their reasons.
        abilities: what the pipeline can do, by name: "yes", or "no: " and the reason.
    """

    unchecked: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    abilities: dict[str, str] = field(default_factory=dict)


@dataclass
class Verdict:
    """What came of one test of the suite, as its report tells it.

    Attributes:
        family: the name of the family.
        name: what the test is called, such as "batch-ZooPipeline".
        demands: what the check demands, in a sentence or more.
        pipeline: the class that was looked at, empty for a check of the whole family.
        task: the task that calls were made for, or empty.
        outcome: "passed", "failed", "unjudged" or "expected", which is a failure with a reason.
        said: why it isn't "passed", in plain sentences.
        reason: why a failure is expected.
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
        """Take down that the check ended with `error`."""
        self.outcome = "unjudged" if isinstance(error, Unjudged) else "failed"
        self.said = sentence_of(error) or f"This does not hold: {self.demands}"

    def as_plain(self) -> dict[str, Any]:
        """The same as values that JSON has."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Verdict:
        """What `as_plain` gave."""
        return cls(**{**plain, "notes": Notes(**plain.get("notes", {}))})


def sentence_of(error: BaseException) -> str:
    """The message of a failed check, without what pytest adds to it; empty if there is none."""
    lines = str(error).strip().splitlines()
    # pytest writes the values that an `assert` compared below the message.
    ends = (number for number, line in enumerate(lines) if line.startswith(("assert ", "  +")))
    text = "\n".join(lines[: next(ends, len(lines))]).strip()
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
