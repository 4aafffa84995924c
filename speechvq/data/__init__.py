"""Corpora, manifests, splits and phone labels: what a model is trained and judged on."""
