"""What the codes stand for: statistics of arrays of codes (N,) beside arrays of labels (N,).

Nothing here knows a model; only :mod:`speechvq.analysis.baselines` and
:mod:`speechvq.analysis.align` look at waveforms, and they are given them as arrays.
"""
