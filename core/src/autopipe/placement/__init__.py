"""Where networks are, and how they get to where they compute; knows no pipeline."""
