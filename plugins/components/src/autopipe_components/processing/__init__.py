"""Tokenizers and image processors that need no transformers.

They read and write the files of the class of transformers that has the same name, give the same
numbers, and take its place in the checkpoints of the families of this project.
"""
