"""Add-ons that leave out computations.

step_cache          `StepCache`: most steps run only the outermost layers of the U-Net
guidance_interval   `GuidanceInterval`: guidance only in a part of the steps
guidance_halves     `GuidanceHalves`: both halves of guidance in one batch, or one after the other
guided              what the two have in common
inputs              the arguments that they add to calls
arguments           checks of arguments
"""
