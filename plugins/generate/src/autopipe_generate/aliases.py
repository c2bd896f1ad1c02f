"""What schedulers are called elsewhere: in other programs, in papers, in captions of pictures."""

from __future__ import annotations

import re

_CALLED = {
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
_BY_ALIAS = {alias: name for name, aliases in _CALLED.items() for alias in aliases.split()}


def known_as(name: str) -> str | None:
    """The short name of the scheduler that is called `name` elsewhere, or None.

    A prefix such as `k_` and a suffix such as `Karras`, which is an option of several schedulers,
    don't matter.
    """
    plain = re.sub(r"[^a-z0-9+]", "", name.lower()).removesuffix("scheduler")
    for suffix in ("karras", "exponential"):
        plain = plain.removesuffix(suffix)
    return _BY_ALIAS.get(plain) or _BY_ALIAS.get(plain.removeprefix("k"))
