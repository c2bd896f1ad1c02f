"""The conformance kit is `autopipe_devkit.conformance`; this module forwards its former name there.

Install it with `python -m pip install autopipe-devkit`.
"""

from __future__ import annotations

from .resolution.moved import forward

__getattr__ = forward(__name__, "autopipe_devkit.conformance", "Conformance")
