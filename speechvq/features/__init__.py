"""Front ends of the encoder, fixed and learned: what is computed of a recording at first.

A feature front end is a module with

- `hop_length`, samples per frame, and `receptive_field`, samples that a frame depends on;
- `needs_transform`, whether recordings have a speaker transform, and `estimate(waveform)`, the
  transform of one recording (T,) or None;
- if transforms are needed, for a training: `speaker_transforms`, `fit_transforms`, `has_priors`
  and `set_speaker_priors`, as in `normalised_cepstra.py`;
- `forward(waveform, transform)`: the encoder's input for waveforms (B, T).
"""
