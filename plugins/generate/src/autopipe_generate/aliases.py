"""Names of schedulers in other programs, papers and image captions."""

from __future__ import annotations

import re

_ALIASES = {
    "DPMSolverMultistep": "dpm++ dpm++2m dpmpp2m dpmpp dpmsolver dpmsolver++ dpm",
    "DPMSolverSinglestep": "dpm++2s dpmpp2s dpm++2sa dpmpp2sa dpm++2sancestral",
    "EulerDiscrete": "euler",
    "EulerAncestralDiscrete": "eulera eulerancestral",
    "HeunDiscrete": "heun",
    "KDPM2Discrete": "dpm2 kdpm2",
    "KDPM2AncestralDiscrete": "dpm2a kdpm2a dpm2ancestral kdpm2ancestral",
    "LMSDiscrete": "lms",
    "PNDM": "plms",
    "UniPCMultistep": "unipc",
    "DEISMultistep": "deis",
}
_BY_ALIAS = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}


def known_as(name: str) -> str | None:
    """Return the short name of the scheduler that is called `name` elsewhere, or None.

    A prefix such as `k_` is ignored, as is a suffix such as `Karras`, which is an option of several
    schedulers.
    """
    plain = re.sub(r"[^a-z0-9+]", "", name.lower()).removesuffix("scheduler")
    for suffix in ("karras", "exponential"):
        plain = plain.removesuffix(suffix)
    return _BY_ALIAS.get(plain) or _BY_ALIAS.get(plain.removeprefix("k"))
