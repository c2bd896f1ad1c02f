"""Pictures in two stages, as unCLIP makes them (Ramesh et al. 2022, arXiv:2204.06125).

A *prior* turns text into the CLIP embedding of an image, and a *decoder* draws an image of that
embedding, in the latents of a MoVQ autoencoder. Each class below knows a whole call; a family
adds components, signatures and what its U-Net gets.

prior       `ImageEmbeddingPrior`: text to embedding, and mixing of texts and images
prior_steps `PriorSteps`: the call of a prior, whatever it starts from
walk        `Walk`: a scheduler that is told which timestep comes next
decoder     `EmbeddingDecoder`: the call of a decoder, whatever it starts from
text2image  `FromNoise`: a decoder that starts from noise
image2image `FromImage`: one that starts from an image
inpaint     `Repaint`: one that repaints a part of an image
canvas      images and masks as the decoders for inpainting take them
codec       `MovqCodec`
combined    `CombinedPipeline`: the call of prior and decoder as one pipeline
"""
