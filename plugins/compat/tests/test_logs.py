"""How much is written into the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from autopipe import logging as logs
from autopipe import registry


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    # The packages may have no loggers yet, whose level then comes from here.
    packages = ["autopipe", *{f"autopipe_{name}" for name in registry.default_registry().families}]
    known = [n for n in logging.root.manager.loggerDict if n.startswith("autopipe")]
    before = [(name, logging.getLogger(name).level) for name in {*packages, *known}]
    yield
    logs.disable_default_handler()
    logs.enable_propagation()
    for name, level in before:
        logging.getLogger(name).setLevel(level)


def test_the_level_holds_for_autopipe_and_its_packages() -> None:
    logs.set_verbosity_error()
    assert logs.get_verbosity() == logging.ERROR
    for name in ("autopipe.checkpoint.load", "autopipe_components.networks"):
        assert not logs.get_logger(name).isEnabledFor(logging.WARNING)
    assert logging.getLogger("elsewhere").isEnabledFor(logging.WARNING)
    for change, level in (
        (logs.set_verbosity_debug, logs.DEBUG),
        (logs.set_verbosity_info, logs.INFO),
        (logs.set_verbosity_warning, logs.WARNING),
    ):
        change()
        assert logs.get_verbosity() == level
    logs.set_verbosity(35)
    assert logs.get_verbosity() == 35


def test_handlers_and_formats(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    logs.add_handler(handler)
    logs.enable_explicit_format()
    logs.get_logger("autopipe.x").warning("one")
    logs.reset_format()
    logs.get_logger("autopipe_components.x").warning("two")
    logs.remove_handler(handler)
    logs.get_logger().warning("three")
    assert len(lines) == 2
    assert lines[0].startswith("[WARNING|test_logs.py:")
    assert lines[0].endswith(">> one")
    assert lines[1] == "two"


def test_propagation(caplog: pytest.LogCaptureFixture) -> None:
    logs.disable_propagation()
    logs.get_logger("autopipe.x").warning("kept back")
    logs.enable_propagation()
    logs.get_logger("autopipe.x").warning("let through")
    assert caplog.messages == ["let through"]


def test_bars() -> None:
    assert logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    assert logs.tqdm(range(3)).disable
    logs.enable_progress_bar()
    assert not logs.tqdm(range(3), leave=False).disable
    assert logs.get_log_levels_dict()["error"] == logging.ERROR
