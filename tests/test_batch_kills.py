"""Batches whose processes are killed, whose jobs kill workers, and whose disk is full."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.dists import env, write_plugin

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMAND = (sys.executable, "-m", "autopipe", "batch")


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("kills")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("batches")
