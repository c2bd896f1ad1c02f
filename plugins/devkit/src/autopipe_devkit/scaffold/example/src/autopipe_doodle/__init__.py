"""The doodle family: little pictures of coloured shapes."""
