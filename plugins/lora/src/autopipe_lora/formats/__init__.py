"""Formats of LoRA files: reading and writing them.

layers          `LoraLayer`, `LoraFile`, `Report`: the content of a file, whatever its format
reader          `read_lora`: layers of the tensors of a file
writer          `write_lora`: tensors of layers
summary         `summarise`: what is in a file, without networks
grouping        the tensors of each layer
keys            what each key holds
module_names    `ModuleNames`: the modules of networks by all names that files have for them
scales          alphas of the metadata
assembly        one layer of its tensors
factors         other ways to write a change of a weight
"""

from .layers import LoraFile, LoraLayer, Report
from .reader import read_lora
from .scales import metadata_of
from .summary import Summary, summarise
from .writer import WrittenLora, peft_settings, peft_tensors, write_lora

__all__ = [
    "LoraFile",
    "LoraLayer",
    "Report",
    "Summary",
    "WrittenLora",
    "metadata_of",
    "peft_settings",
    "peft_tensors",
    "read_lora",
    "summarise",
    "write_lora",
]
