"""Words that were learned from pictures: tokens with embeddings of their own.

See Gal et al. 2022, arXiv:2208.01618.

attachment   `TextualInversion`: the add-on, one token with its vectors
vectors      reads the vectors from the tensors of a file
table        an embedding table with further rows
tokens       tokenizers with further tokens
methods      the methods of pipelines that load and unload tokens
family       the manifest
"""
