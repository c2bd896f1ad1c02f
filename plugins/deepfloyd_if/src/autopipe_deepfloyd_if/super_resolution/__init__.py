"""The stages that enlarge what the stage before has made."""
