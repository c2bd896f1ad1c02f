"""Names and configs that networks have in the checkpoints of their authors.

unet_names       `unet_module_names`: the modules of U-Nets and ControlNets
vae_names        `vae_module_names`: the modules of autoencoders
open_clip_names  `open_clip_tensor_names`: the tensors of text encoders of OpenCLIP
pieces           takes the tensors of a network from a file, and the other way
configs          reads the configs that authors publish as YAML
clip_vocabulary  CLIP's tokenizer
layout           `LatentDiffusion`: the layout of files with all networks of a checkpoint
autoencoder      the layouts of files with an autoencoder alone
"""
