"""The networks: encoder, quantizer, conditioner, WaveNet, the VQ-VAE made of them, and the prior.

Shapes: B batch, T samples, N codes, M condition vectors, C channels, D codebook_dim,
K codebook_size.
"""
