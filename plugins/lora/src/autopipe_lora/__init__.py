"""LoRA: low-rank changes of the weights of networks.

formats     reading and writing files
command     `autopipe lora`
"""
