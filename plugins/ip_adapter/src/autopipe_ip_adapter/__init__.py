"""Image prompts: IP-Adapter as an add-on.

addon            `IPAdapter`: the add-on, which holds one or several adapters
methods          the methods of diffusers for pipelines: `load_ip_adapter` and others
adapter_file     the tensors of a file
projections      from encoded images to tokens
image_attention  attention to these tokens, in a U-Net
encoding         images to embeddings
given            checks of what callers give
masks            `IPAdapterMaskProcessor`, and masks as weights of attention
scales           scales by adapter, block and image
"""
