"""Functions from which tasks are built; none of them depends on a family.

A family provides a `Codec` (pixels <-> latents) and a prediction. A task calls these functions in
numbered steps around the denoising loop of the core; the package `latent` has the tasks of latent
families. The functions depend on their arguments alone, not on the record of a call.

    checks      checks before any work: `check_prompt`, `check_negative_prompt`,
                `check_size`, `check_strength`, `check_steps`, `check_images_per_prompt`,
                `check_generators`, `check_callback_inputs`, `check_output_type`,
                `check_image`, `check_mask`, `check_mask_crop`, `check_guidance`,
                `check_network_channels`, `check_width`, `check_paste`, `check_tensor`,
                `check_text`, `check_part`;
                `batch_size_of(prompt, embeds)`
    given       `checks_of(required, optional)` returns the method `check_inputs` of a class
    prompt      `tokenize(tokenizer, texts, length)`, `distinct_texts`, `check_clip_skip`,
                `check_encoder`, `check_texts`, `check_halves`; `embed_prompts(encode, ...)`,
                `join_halves(embeds, negative)`
    pooled      `PooledPrompts`, `check_pooled_prompts`, `encode_states`, `encode_both`: prompts for
                several text encoders, with pooled embeddings
    chats       `ChatPrompts`, `encode_chats(tokenizer, encoder, texts, device=, length=)`: prompts
                for language models, with embeddings that differ in length
    seen        `seen_pixels(pipe, image)`: what the image encoder of a pipeline sees
    callbacks   `step_callbacks(run, callback_on_step_end, ...)`: callbacks for the loop
    timesteps   `set_schedule(scheduler, num_inference_steps=, device=, timesteps=, sigmas=)`,
                for images also `keep_tail(scheduler, steps=, strength=)`; both return a
                `Schedule(timesteps, steps)`. `start_at` and `stop_at` cut it at a noise level;
                `check_any_left` refuses an empty one
    text2image  `start_from_noise(shape, ...)`
    image2image `encode_start(codec, image, ...)`, then `add_noise(scheduler, latents, ...)`
    canvas      `prepare_canvas(image, mask_image, ..., padding_mask_crop=)` -> `Canvas`: `pixels`
                and `mask`; after decoding, `paste_unmasked(tensor)` and `put_back(pil_images)`
    inpaint     `start_inpainting(codec, scheduler, image=canvas.pixels, mask=canvas.mask, ...)`
                -> `Inpainting`: the loop starts from its `latents`; `extra_channels()` is for
                networks that take the mask, `keep(...)` restores the original for others
    guidance    `double`, `guide(prediction, scale, rescale=)`; `embed_scale` for networks that
                take the guidance scale as an input
    codec       `Codec`, `PixelCodec`, `VaeCodec(vae)`, `encode_images`, `tile`, `check_spread`

Image to image, for example, with the scheduler of the call:

    schedule = set_schedule(scheduler, num_inference_steps=n, device=device)
    schedule = keep_tail(scheduler, steps=schedule.steps, strength=strength)
    latents = encode_start(codec, pixels, batch_size=b, generator=g, dtype=dtype, device=device)
    latents = add_noise(scheduler, latents, timestep=schedule.timesteps[0], generator=g)
    # denoise over schedule.timesteps, then codec.decode(latents)

The image that a seed gives depends on the order in which noise is drawn: image to image encodes
before it draws noise, and `start_inpainting` documents its order. The *batch size* is the number of
prompts times the images per prompt. Pixels are (N, C, H, W) in [-1, 1]; masks are (N, 1, H, W), 1
where the image is repainted. No function changes its arguments, except for the begin index of a
scheduler and the state of generators.
"""
