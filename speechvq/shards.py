"""Shards of a long list of utterances, for jobs that know nothing of each other."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 0 to count - 1."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"shard {self.index}/{self.count}: expected I/N with I from 0 to N - 1, such as 0/8"
            )

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Those of the items that are in this shard."""
        return items[self.index :: self.count]

    def path(self, out: Path) -> Path:
        """The file of this shard."""
        return out.with_name(f"{out.name}.{self.index}-of-{self.count}")


def parse_shard(text: str) -> Shard:
    """Read ``I/N``; ValueError for anything else."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found:
        raise ValueError(f"shard {text!r}: expected I/N with I from 0 to N - 1, such as 0/8")
    return Shard(int(found[1]), int(found[2]))


def shard_of_process() -> Shard | None:
    """The shard of this process where torchrun started several, else None."""
    count, index = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    if count in ("", "1"):
        return None
    try:
        return parse_shard(f"{index or 0}/{count}")
    except ValueError as error:
        raise ValueError(f"environment variables RANK and WORLD_SIZE: {error}") from error
