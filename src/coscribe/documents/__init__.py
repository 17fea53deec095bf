"""Documents: the pipeline around the core, and the ports it needs."""
