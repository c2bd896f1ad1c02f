"""Opening, switching and calling of classes that are named."""

import threading

import torch
from PIL.Image import Image
from typing_extensions import assert_type

from autopipe import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    ImagePipelineOutput,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionPipelineOutput,
    UNet2DConditionModel,
)

pipe = assert_type(
    StableDiffusionPipeline.from_pretrained("demo:stable_diffusion").to("cpu"),
    StableDiffusionPipeline,
)
output = assert_type(pipe("a hut", num_inference_steps=3), StableDiffusionPipelineOutput)
output.images[0].save("hut.png")
output.images.shape
pictures: list[Image] = output.images
flags = assert_type(output.nsfw_content_detected, list[bool] | None)
output.image  # flagged
pipe("a hut", adapters={"ink": 0.5}, cancellation=threading.Event())
pipe("a hut", num_inference_step=3)  # flagged
pipe("a hut", num_inference_steps="3")  # flagged
pipe("a hut", guidance=3.0)  # flagged
change = assert_type(StableDiffusionImg2ImgPipeline.from_pipe(pipe), StableDiffusionImg2ImgPipeline)
change("a house", image=output.images[0], strength=0.5).images[0].save("house.png")
change("a house", imgae=output.images[0])  # flagged
images = pipe("a hut", return_dict=False)[0]
images[0].save("hut.png")
ImagePipelineOutput(pictures).images[0].save("hut.png")
ImagePipelineOutput("hut.png")  # flagged

network = assert_type(ControlNetModel.from_pretrained("demo:controlnet"), ControlNetModel)
controlled = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=network)
controlled("a hut", image=output.images[0]).images[0].save("controlled.png")

pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
assert_type(DDIMScheduler.from_config(pipe.scheduler.config), DDIMScheduler)
assert_type(pipe.unet, UNet2DConditionModel)
assert_type(pipe.vae, AutoencoderKL)
pipe.unet.to(torch.float16).train()
