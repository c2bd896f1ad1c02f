"""Formats of LoRA files.

layers      `LoraLayer`, `LoraFile`, `Report`: the content of a file, whatever its format
"""
