"""The phones that codes stand for, from the table that ``speechvq-analyze phonemes`` writes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from speechvq.analysis.phone_classes import class_of, in_order


@dataclass(frozen=True)
class Meaning:
    """What a code stands for: its likeliest phone, and its phones with p(phone | code)."""

    code: int
    count: int
    phone: str
    phones: str

    @property
    def kind(self) -> str:
        """The class of the phone."""
        return class_of(self.phone)


CodeMap = dict[int, Meaning]


def read_code_map(path: Path) -> CodeMap:
    """Read ``codes.csv``; codes that do not occur are left out. Empty if there is no such file.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        if any(None in row.values() for row in rows):
            raise ValueError("a line that was cut")
        found = [
            Meaning(int(row["code"]), int(row["count"]), row["phone"], row["phones"])
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"{path}: damaged; run speechvq-analyze phonemes again") from error
    return {meaning.code: meaning for meaning in found if meaning.count}


def by_phone(codes: CodeMap) -> list[tuple[str, list[tuple[str, list[Meaning]]]]]:
    """The codes of each phone, most used first, and the phones of each class."""
    phones = in_order(meaning.phone for meaning in codes.values())
    of_phone = {
        phone: sorted((m for m in codes.values() if m.phone == phone), key=lambda m: -m.count)
        for phone in phones
    }
    return [
        (kind, [(phone, of_phone[phone]) for phone in members])
        for kind, members in groupby(phones, key=class_of)
    ]
