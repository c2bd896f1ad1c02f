"""The LDM3D family: colours and depth of a prompt."""
