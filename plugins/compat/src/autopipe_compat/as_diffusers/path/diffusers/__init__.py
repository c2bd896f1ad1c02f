"""Stands first on the path of a process in which `diffusers` is to mean autopipe."""

import importlib
import sys

# The import system takes what stands under this name when the code of this file has run.
del sys.modules[__name__]
importlib.import_module("autopipe.as_diffusers")
sys.modules[__name__] = importlib.import_module(__name__)
