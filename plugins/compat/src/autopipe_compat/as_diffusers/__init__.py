"""Lets this process import autopipe under the name `diffusers`; importing this module does it.

    import autopipe.as_diffusers
    from diffusers import StableDiffusionPipeline

`python -m autopipe.as_diffusers script.py` runs a program in this way. Child processes that
`multiprocessing` starts inherit it. Other programs need `folder()` first in their `PYTHONPATH`.
"""

from __future__ import annotations

from .alias import AliasError as AliasError
from .alias import disable as disable
from .alias import enable as enable
from .alias import folder as folder

enable()
