"""The weights of a speaker among those of a model: rows of the speaker embeddings, and columns.

An enrolled speaker may have a scale and shift of its own in each layer of the mel predictor (FiLM).
They are a further dimension of the predictor's speaker vectors, 1 for this speaker and 0 for all
others: its columns in the layers' projections are what this speaker alone adds.

Shapes: P speakers, S speaker_dim, C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEL_TABLE = "mel_predictor.table.weight"
TABLES = (
    "vqvae.decoder.conditioner.speakers.weight",
    "mel_predictor.conditioner.speakers.weight",
    MEL_TABLE,
)
"""The speaker embeddings."""
_PROJECTION = "mel_predictor.stack.layers.{}.speaker.weight"


def own_dimensions(table: Tensor) -> Tensor:
    """Which dimensions of a table (P, S) are those of one speaker alone, (S,) bool."""
    if len(table) == 1:
        return table.new_zeros(table.shape[1]).bool()
    return (table != 0).sum(0) == 1


def put_speaker(
    tensors: dict[str, Tensor],
    place: int,
    vectors: Sequence[Tensor],
    film: Sequence[Tensor] = (),
) -> None:
    """Add a speaker to the weights of a model by name, or replace one, with what was its own.

    Parameters
    ----------
    tensors
        The weights, which are changed; all that is not of this speaker stays bit for bit.
    place
        The speaker's index; P for a new one.
    vectors
        The row of each of `TABLES` that the model has, in their order; without the dimensions that
        are one speaker's own, which other enrolments add and remove.
    film
        A scale and shift (2C,) that is added in each layer of the mel predictor; none if it has
        no such layers.
    """
    import torch

    if MEL_TABLE in tensors:
        table = tensors[MEL_TABLE]
        own = own_dimensions(table)
        kept = torch.ones_like(own)
        if place < len(table):
            kept = ~(own & (table[place] != 0))
            for name in _with_dimensions(tensors):
                tensors[name] = tensors[name][:, kept]
        row = table.new_zeros(len(own))
        row[~own] = vectors[-1].detach().to("cpu", table.dtype)  # that of the table is the last one
        vectors = [*vectors[:-1], row[kept]]
    for name, vector in zip((t for t in TABLES if t in tensors), vectors, strict=True):
        rows = tensors[name]
        row = vector.detach().to("cpu", rows.dtype).unsqueeze(0)
        tensors[name] = torch.cat([rows[:place], row, rows[place + 1 :]])
    if film:
        entries = torch.zeros(len(tensors[MEL_TABLE]))
        entries[place] = 1
        for name, column in zip(_with_dimensions(tensors), [entries, *film], strict=True):
            columns = tensors[name]
            column = column.detach().to("cpu", columns.dtype).unsqueeze(1)
            tensors[name] = torch.cat([columns, column], dim=1)


def _with_dimensions(tensors: dict[str, Tensor]) -> list[str]:
    """The weights that have a column for each dimension: the table, and each layer's projection."""
    projections = map(_PROJECTION.format, itertools.count())
    return [MEL_TABLE, *itertools.takewhile(tensors.__contains__, projections)]
