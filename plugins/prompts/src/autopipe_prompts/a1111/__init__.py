"""The grammar of AUTOMATIC1111's web UI."""
