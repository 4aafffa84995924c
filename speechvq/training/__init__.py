"""Training: one loop over phases, checkpoints, metrics, and the phases of a VQ-VAE."""
