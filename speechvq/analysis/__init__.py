"""Measures of codes and speech: arrays in, numbers out.

Nothing here knows a model. Most measures compare codes (N,) with labels (N,); baselines, alignment
and judges take waveforms (T,).
"""
