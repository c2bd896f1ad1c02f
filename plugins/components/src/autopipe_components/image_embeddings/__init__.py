"""Pictures in two stages, as unCLIP makes them (Ramesh et al. 2022, arXiv:2204.06125).

A *prior* turns text into the CLIP embedding of an image, and a *decoder* draws an image of that
embedding, in the latents of a MoVQ autoencoder.

prior       `ImageEmbeddingPrior`: text to embedding, and mixing of texts and images
prior_steps what its calls are made of
decoder     `EmbeddingDecoder`: the steps of a decoder that all its tasks share
text2image  `FromNoise`: a decoder that starts from noise
image2image `FromImage`: one that starts from an image
inpaint     `Repaint`: one that repaints a part of an image
canvas      images and masks as the decoders for inpainting take them
codec       `MovqCodec`
combined    `CombinedPipeline`: prior and decoder as one pipeline
"""
