"""Single files that hold the weights of a whole checkpoint, or of one network.

layout    `Layout`: what an author of a reader writes, and the records that it takes and returns
tensors   the tensors of a file, of which only names, dtypes and shapes are read at first
original  the config in YAML that the authors of a checkpoint publish beside the file
opening   opens a file: finds the reader of its layout
source    `SingleFileSource`: such a file as the source of a checkpoint
"""
