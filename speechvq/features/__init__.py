"""What is computed of a waveform: front ends of the encoder, spectra, and normalised cepstra.

A front end is a module with

- `hop_length`, samples per frame, and `receptive_field`, samples that a frame depends on;
- `forward(waveform)`: the encoder's input for waveforms (B, T).
"""
