"""Formats of LoRA files: reading and writing them.

layers          `LoraLayer`, `LoraFile`, `Report`: the content of a file, whatever its format
reader          `read_lora`: layers of the tensors of a file
writer          `write_lora`: tensors of layers
keys            what each key holds
module_names    `ModuleNames`: the modules of networks by all names that files have for them
scales          alphas of the metadata
assembly        one layer of its tensors
factors         other ways to write a change of a weight
"""

from .layers import LoraFile, LoraLayer, Report
from .reader import read_lora
from .writer import WrittenLora, write_lora

__all__ = ["LoraFile", "LoraLayer", "Report", "WrittenLora", "read_lora", "write_lora"]
