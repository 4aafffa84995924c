"""Front ends of the encoder, fixed and learned: what is computed of a recording at first.

A feature front end is a module with

- `hop_length`, samples per frame, and `receptive_field`, samples that a frame depends on;
- `forward(waveform)`: the encoder's input for waveforms (B, T).
"""
