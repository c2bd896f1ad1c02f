"""Engines on the networks of the demo."""

from __future__ import annotations

from autopipe_devkit.conformance import EngineConformance


class TestChannelsLast(EngineConformance):
    engine = "channels_last"
