"""The networks: encoder, quantizer, conditioner, WaveNet, and the VQ-VAE made of them.

Shapes: B batch, T samples, N codes, M condition vectors, C channels, D codebook_dim,
K codebook_size.
"""
