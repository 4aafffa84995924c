"""Features: what is computed of a recording before a network sees it.

A feature front end is a module with

- `hop_length`, samples per frame, and `receptive_field`, samples that a frame depends on;
- `estimate(waveform)`: the speaker transform of one recording (T,), or None if there is none;
- `forward(waveform, transform)`: the encoder's input for waveforms (B, T).
"""
