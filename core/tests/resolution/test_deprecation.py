"""What a later release removes is said to its user, and noted for a plugin that uses it."""

from __future__ import annotations

import threading
import warnings

import pytest

from autopipe.errors import AutopipeDeprecationWarning
from autopipe.resolution.deprecation import deprecated, noted


def old(stacklevel: int = 1) -> int:
    deprecated("old()", since="0.2.0", until="0.4.0", instead="use new()", stacklevel=stacklevel)
    return 1


def test_the_warning_names_it_both_releases_and_what_to_do_and_points_at_the_user() -> None:
    with pytest.warns(AutopipeDeprecationWarning) as warned:
        assert old() == 1
    text = str(warned[0].message)
    assert all(part in text for part in ("old()", "0.2.0", "0.4.0", "use new()"))
    assert warned[0].filename == __file__


def test_it_points_further_up_where_it_is_told_to() -> None:
    def wrapper() -> None:
        old(stacklevel=2)

    with pytest.warns(AutopipeDeprecationWarning) as warned:
        wrapper()
    with open(__file__, encoding="utf-8") as file:
        line = file.read().splitlines()[warned[0].lineno - 1]
    assert line.strip() == "wrapper()"


def test_it_is_seen_by_default() -> None:
    """Python hides a `DeprecationWarning` in imported modules; those of ours are for users too."""
    assert issubclass(AutopipeDeprecationWarning, FutureWarning)


def test_inside_it_is_noted_once_and_nobody_is_warned() -> None:
    with warnings.catch_warnings(), noted() as notes:
        warnings.simplefilter("error")
        old()
        old()
    assert len(notes) == 1
    with pytest.warns(AutopipeDeprecationWarning):
        old()


def test_what_another_thread_does_is_not_noted() -> None:
    with warnings.catch_warnings(), noted() as notes:
        warnings.simplefilter("ignore")
        thread = threading.Thread(target=old)
        thread.start()
        thread.join()
    assert notes == []


def test_notes_of_one_inside_another_are_its_own() -> None:
    with noted() as outer:
        with noted() as inner:
            old()
        assert inner
        assert not outer
