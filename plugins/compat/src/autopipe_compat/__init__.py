"""Names that programs for diffusers import, under the paths where they are there.

`equals` says which of our objects answers which name, `paths` makes the modules, and `as_diffusers`
lets a process import them from `diffusers`.
"""
