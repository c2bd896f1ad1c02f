"""The conformance kit is `autopipe_devkit.conformance`; the name that this module had leads there.

`python -m pip install autopipe-devkit` brings it.
"""

from __future__ import annotations

from .resolution.moved import forward

__getattr__ = forward(__name__, "autopipe_devkit.conformance", "Conformance")
