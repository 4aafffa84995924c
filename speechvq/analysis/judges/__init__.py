"""Judges of speech that were not trained here, each with its weights inside its package.

Waveforms of any kind go in as numpy arrays at :data:`level.SAMPLE_RATE`, numbers and words come
out. What a judge is made of is imported when one is made, and :class:`missing.MissingJudge` says
how to install what is not there. They know nothing of models: `trials` chooses what to convert,
`scores` compares what the judges said, `table` shows it.
"""
