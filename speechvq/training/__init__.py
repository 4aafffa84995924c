"""Training: one loop over stages, objectives, checkpoints and metrics."""
