"""The parts of transformers that denoise: rotary positions, modulation, joint attention.

"Scalable Diffusion Models with Transformers" (Peebles and Xie, 2023, arXiv:2212.09748); "Scaling
Rectified Flow Transformers for High-Resolution Image Synthesis" (Esser et al., 2024,
arXiv:2403.03206). The names of modules are those that checkpoints use.
"""

from .blocks import JointBlock as JointBlock
from .dual import DualBlock as DualBlock
from .dual import DualNorm as DualNorm
from .embeddings import TextProjection as TextProjection
from .embeddings import TimeTextEmbedding as TimeTextEmbedding
from .feed_forward import GatedFeedForward as GatedFeedForward
from .inputs import Residuals as Residuals
from .inputs import check_input as check_input
from .inputs import check_tensors as check_tensors
from .joint_attention import JointAttention as JointAttention
from .modulation import ContinuousNorm as ContinuousNorm
from .modulation import ZeroNorm as ZeroNorm
from .modulation import modulated as modulated
from .output import Transformer2DModelOutput as Transformer2DModelOutput
from .patches import Grid as Grid
from .patches import from_patches as from_patches
from .patches import grid_of as grid_of
from .patches import to_patches as to_patches
from .rotary import Rotary as Rotary
from .rotary import grid_positions as grid_positions
from .rotary import rotary_waves as rotary_waves
from .rotary import rotated as rotated
from .sequences import Sequences as Sequences
from .sequences import filled_length as filled_length
