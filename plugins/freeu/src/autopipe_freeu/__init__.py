"""FreeU: better pictures from the same U-Net (Si et al. 2023, arXiv:2309.11497).

addon       `FreeU`: the add-on
factors     the four factors, and what they do to features
methods     `enable_freeu` and `disable_freeu` of pipelines and of U-Nets
"""
