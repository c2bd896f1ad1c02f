"""Provides the manifest: components and engines for any family, without a pipeline."""

from __future__ import annotations

from typing import Literal

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Component, Engine, Export, Manifest, Method, Reader

_NETWORKS = {
    "AutoencoderKL": "autoencoder_kl",
    "AutoencoderTiny": "autoencoder_tiny",
    "PriorTransformer": "prior_transformer",
    "UNet2DConditionModel": "unet",
    "UNet2DModel": "unet_2d",
    "VQModel": "vq_model",
}

_SCHEDULERS = {
    "CMStochasticIterativeScheduler": "cm_stochastic_iterative",
    "CosineDPMSolverMultistepScheduler": "edm.cosine_dpm_solver_multistep",
    "DDIMInverseScheduler": "ddim_inverse",
    "DDIMParallelScheduler": "ddim_parallel",
    "DDIMScheduler": "ddim",
    "DDPMParallelScheduler": "ddpm_parallel",
    "DDPMScheduler": "ddpm",
    "DDPMWuerstchenScheduler": "ddpm_wuerstchen",
    "DEISMultistepScheduler": "deis_multistep",
    "DPMSolverMultistepInverseScheduler": "dpm_solver_multistep_inverse",
    "DPMSolverMultistepScheduler": "dpm_solver_multistep",
    "DPMSolverSDEScheduler": "dpm_solver_sde",
    "DPMSolverSinglestepScheduler": "dpm_solver_singlestep",
    "EDMDPMSolverMultistepScheduler": "edm.dpm_solver_multistep",
    "EDMEulerScheduler": "edm.euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "EulerDiscreteScheduler": "euler_discrete",
    "FlowMatchEulerDiscreteScheduler": "flow.euler",
    "FlowMatchHeunDiscreteScheduler": "flow.heun",
    "FlowMatchLCMScheduler": "flow.lcm",
    "HeunDiscreteScheduler": "heun_discrete",
    "IPNDMScheduler": "ipndm",
    "KDPM2AncestralDiscreteScheduler": "k_dpm_2_ancestral_discrete",
    "KDPM2DiscreteScheduler": "k_dpm_2_discrete",
    "LCMScheduler": "lcm",
    "LMSDiscreteScheduler": "lms_discrete",
    "PNDMScheduler": "pndm",
    "SASolverScheduler": "sa_solver",
    "TCDScheduler": "tcd",
    "UnCLIPScheduler": "unclip",
    "UniPCMultistepScheduler": "unipc_multistep",
    "VQDiffusionScheduler": "vq_diffusion",
}

_FUNCTIONS = {
    "randn_tensor": "noise",
    "rescale_noise_cfg": "scripting",
    "retrieve_latents": "scripting",
    "retrieve_timesteps": "scripting",
}

_FUSING = ("fuse_qkv_projections", "unfuse_qkv_projections")
_KERNELS = (
    "disable_npu_flash_attention",
    "disable_xformers_memory_efficient_attention",
    "disable_xla_flash_attention",
    "enable_npu_flash_attention",
    "enable_xformers_memory_efficient_attention",
    "enable_xla_flash_attention",
    "reset_attention_backend",
    "set_attention_backend",
    "set_use_memory_efficient_attention_xformers",
    "set_use_npu_flash_attention",
    "set_use_xla_flash_attention",
)
_SAVING = {
    "disable_forward_chunking": "chunking",
    "enable_forward_chunking": "chunking",
    "enable_layerwise_casting": "layerwise",
}
_OWNERS: tuple[Literal["pipeline", "network"], ...] = ("pipeline", "network")

_AUTOENCODERS = (
    ("autoencoder", "", "mid.block_1"),
    ("autoencoder-prefixed", "first_stage_model.", "mid.block_1"),
    ("autoencoder-plain", "", "mid_block.resnets.0"),
)
"""Layouts of single files: their names, the prefix of all tensors, and a module."""


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    networks = tuple(
        Component(name, f"autopipe_components.networks.{module}:{name}")
        for name, module in _NETWORKS.items()
    )
    schedulers = tuple(
        Component(name, f"autopipe_components.schedulers.{module}:{name}", kind="scheduler")
        for name, module in _SCHEDULERS.items()
    )
    return Manifest(
        name="components",
        components=(*networks, *schedulers),
        engines=(
            Engine("auto", "autopipe_components.engines.auto:Auto"),
            Engine("channels_last", "autopipe_components.engines.channels_last:ChannelsLast"),
            Engine("compile", "autopipe_components.engines.compile:Compile"),
            Engine("cuda_graphs", "autopipe_components.engines.cuda_graphs:CudaGraphs"),
        ),
        commands=(
            Command(
                "engines",
                "autopipe_components.commands.engines:declare",
                "list the engines and what they converted",
            ),
            Command(
                "tune",
                "autopipe_components.commands.tune:declare",
                "measure the installed engines for a checkpoint, and remember the fastest",
            ),
        ),
        readers=tuple(
            Reader(
                name,
                keys=(f"{prefix}encoder.conv_in.weight", f"{prefix}encoder.{key}.conv1.weight"),
                target="autopipe_components.original.autoencoder:AutoencoderLayout",
                # A file with a network that denoises is of that network's layout.
                absent=("model.diffusion_model.",),
            )
            for name, prefix, key in _AUTOENCODERS
        ),
        methods=(
            *(Method(name, f"autopipe_components.attention_methods:{name}") for name in _FUSING),
            *(
                Method(name, "autopipe_components.attention_methods:use_kernel", of=of)
                for name in _KERNELS
                for of in _OWNERS
            ),
            *(
                Method(name, f"autopipe_components.networks.{file}:{name}", of="network")
                for name, file in _SAVING.items()
            ),
        ),
        exports=(
            Export("VaeImageProcessor", "autopipe_components.image_processor:VaeImageProcessor"),
            *(Export(n, f"autopipe_components.{file}:{n}") for n, file in _FUNCTIONS.items()),
        ),
    )
