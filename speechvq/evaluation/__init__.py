"""Experiments that measure a model: its codes, its conversions, a prior over its codes.

Each experiment is one function that returns a named result. :mod:`speechvq.analysis` has the
measures, which know no model; :mod:`speechvq.cli` prints and writes the results.
"""
