"""Names that networks have in the checkpoints of their authors.

unet_names  `unet_module_names`: the modules of U-Nets and ControlNets
"""
