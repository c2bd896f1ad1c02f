"""The stages that enlarge the images of the previous stage."""
