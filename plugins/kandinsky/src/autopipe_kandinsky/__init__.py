"""Images in two stages, as in unCLIP (Ramesh et al. 2022, arXiv:2204.06125).

A *prior* converts text to the CLIP embedding of an image, and a *decoder* generates an image from
that embedding, in the latents of a MoVQ autoencoder. Each class below implements a whole call; a
family adds components, signatures and the inputs of its U-Net.

prior       `ImageEmbeddingPrior`: text to embedding, and mixing of texts and images
prior_steps `PriorSteps`: the call of a prior, for every kind of start
encoded_texts `EncodesTexts`: the texts of a prior
denoising   `DenoisesEmbeddings`: the loop of a prior
next_timestep `WithNextTimestep`: a scheduler whose steps receive the next timestep
decoder     `EmbeddingDecoder`: the call of a decoder, for every kind of start
text2image  `FromNoise`: a decoder that starts from noise
image2image `FromImage`: one that starts from an image
inpaint     `Repaint`: one that repaints a part of an image
canvas      images and masks as the decoders for inpainting take them
codec       `MovqCodec`
combined    `CombinedPipeline`: the call of prior and decoder as one pipeline
"""
