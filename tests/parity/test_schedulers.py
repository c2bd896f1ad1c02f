"""Every scheduler class of diffusers is here, or stands with its reason in a table of the docs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import autopipe
from autopipe.scheduling import SchedulerMixin

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

PAGE = Path(__file__).parents[2] / "docs/how-to/choose-a-scheduler.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Schedulers of diffusers that are not")[2]
ABSENT = set(re.findall(r"^\| `(\w+Scheduler)` \| \S", SECTION, re.M))
UNCONDITIONAL = set(re.findall(r"`(\w+Scheduler)`", SECTION.partition("autopipe-unconditional")[2]))

THEIRS = {name for name in dir(diffusers) if name.endswith("Scheduler")}


def test_the_table_has_all_others() -> None:
    elsewhere = set() if importlib.util.find_spec("autopipe_unconditional") else UNCONDITIONAL
    missing = {name for name in THEIRS - elsewhere if not hasattr(autopipe, name)}
    assert missing == ABSENT
    assert UNCONDITIONAL <= THEIRS


@pytest.mark.parametrize("name", sorted(THEIRS - ABSENT - UNCONDITIONAL))
def test_each_is_a_scheduler_with_the_same_config(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    assert issubclass(ours, SchedulerMixin)
    options = {"num_vec_classes": 9} if name == "VQDiffusionScheduler" else {}
    made, expected = (
        {key: value for key, value in kind(**options).config.items() if not key.startswith("_")}
        for kind in (ours, theirs)
    )
    assert made == expected
