"""What the tasks know, with no line about any family.

A family offers a `Codec` (pixels <-> latents) and a prediction; a task composes these pieces in
numbered steps around the denoising loop of the core. The package `latent` beside this one has the
tasks of latent families. Nothing here reads the record of a call: these are functions of what
they are given.

    checks      typed errors before any work: `check_prompt`, `check_negative_prompt`,
                `check_size`, `check_strength`, `check_steps`, `check_images_per_prompt`,
                `check_generators`, `check_callback_inputs`, `check_output_type`,
                `check_image`, `check_mask`, `check_mask_crop`, `check_guidance`,
                `check_network_channels`, `check_width`, `check_paste`, `check_tensor`,
                `check_text`, `check_part`;
                `batch_size_of(prompt, embeds)`
    given       `checks_of(required, optional)`: the method `check_inputs` of a class
    prompt      `tokenize(tokenizer, texts, length)`, `distinct_texts`, `check_clip_skip`,
                `check_encoder`; `embed_prompts(encode, ...)`, `join_halves(embeds, negative)`
    reports     `step_callbacks(run, callback_on_step_end, ...)`: callbacks, as the loop takes them
    timesteps   `set_schedule(scheduler, num_inference_steps=, device=, timesteps=, sigmas=)`,
                then for images `keep_tail(scheduler, steps=, strength=)`; both return a
                `Schedule(timesteps, steps)`. `start_at`, `stop_at` cut at a noise level, and
                `check_any_left` refuses what they may leave empty
    text2image  `start_from_noise(shape, ...)`
    image2image `encode_start(codec, image, ...)`, then `add_noise(scheduler, latents, ...)`
    canvas      `prepare_canvas(image, mask_image, ..., padding_mask_crop=)` -> `Canvas`: `pixels`
                and `mask`; once decoded `paste_unmasked(tensor)`, and `put_back(pil_images)`
    inpaint     `start_inpainting(codec, scheduler, image=canvas.pixels, mask=canvas.mask, ...)`
                -> `Inpainting`: its `latents` start the loop, `extra_channels()` feeds networks
                that see the mask, `keep(...)` blends the original in after each step of others
    guidance    `double` the inputs, `guide(prediction, scale, rescale=)`; `embed_scale` for
                networks distilled with the scale as an input
    codec       `Codec`, `PixelCodec`, `VaeCodec(vae)`, `encode_images`, `tile`, `check_spread`

Image to image reads, with a scheduler of the call's own:

    schedule = set_schedule(scheduler, num_inference_steps=n, device=device)
    schedule = keep_tail(scheduler, steps=schedule.steps, strength=strength)
    latents = encode_start(codec, pixels, batch_size=b, generator=g, dtype=dtype, device=device)
    latents = add_noise(scheduler, latents, timestep=schedule.timesteps[0], generator=g)
    # denoise over schedule.timesteps, then codec.decode(latents)

The order of the calls is the order in which noise is drawn, which decides the image of a seed:
image to image encodes before it draws noise, and `start_inpainting` keeps its own order inside.
A *batch* is prompts times images per prompt. Pixels are (N, C, H, W) in [-1, 1], masks
(N, 1, H, W) with 1 where the image is repainted. Nothing here changes its arguments, the
scheduler's begin index and the generators' state excepted.
"""
