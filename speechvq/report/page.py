"""The HTML of the page: sections of sounds, tables, pictures and text, given as plain values.

The page is one file; only sounds that are too large to be embedded are linked.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from speechvq.report.pictures import spectrogram_png


@dataclass(frozen=True)
class Sound:
    """Audio on the page: `source` is a relative address or a data URI."""

    title: str
    source: str
    waveform: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class SoundGroup:
    """Sounds of the same sentence, shown side by side."""

    title: str
    text: str | None
    sounds: Sequence[Sound]


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the rows."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of the page; the given parts are shown in this order.

    `missing` names parts that do not exist yet, and how to make them.
    """

    title: str
    intro: str = ""
    groups: Sequence[SoundGroup] = ()
    table: Table | None = None
    notes: Sequence[str] = ()
    pictures: Sequence[tuple[str, bytes]] = ()
    """Captions and PNG files."""
    folded: Sequence[tuple[str, str]] = ()
    """Titles, and texts that are shown verbatim when the title is clicked."""
    missing: Sequence[str] = ()


def page(title: str, subtitle: str, sections: Iterable[Section]) -> str:
    """Put the sections on one HTML page."""
    body = "\n".join(_section(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<p>{escape(subtitle)}</p>
</header>
{body}
</main>
</body>
</html>
"""


def png_source(picture: bytes) -> str:
    """A PNG file as a data URI."""
    return data_uri(picture, "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """A file of a media type such as "audio/wav" as an address that holds the file itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.intro:
        parts.append(f"<p>{escape(section.intro)}</p>")
    parts += [f'<p class="missing">{escape(line)}</p>' for line in section.missing]
    parts += [_group(group) for group in section.groups]
    if section.table is not None:
        parts.append(_table(section.table))
    if section.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in section.notes)
        parts.append(f'<ul class="notes">{notes}</ul>')
    for caption, picture in section.pictures:
        parts.append(
            f'<figure><img src="{png_source(picture)}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    for title, text in section.folded:
        parts.append(
            f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
        )
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _group(group: SoundGroup) -> str:
    text = f'<p class="said">“{escape(group.text)}”</p>' if group.text else ""
    cards = "\n".join(
        f'<figure class="sound"><figcaption>{escape(sound.title)}</figcaption>'
        f'<img src="{png_source(spectrogram_png(sound.waveform, sound.sample_rate))}" '
        f'alt="Spectrogram: {escape(sound.title)}">'
        f'<audio controls preload="metadata" src="{escape(sound.source)}"></audio></figure>'
        for sound in group.sounds
    )
    return f'<h3>{escape(group.title)}</h3>\n{text}\n<div class="sounds">\n{cards}\n</div>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.headings)
    head = f"<thead><tr>{head}</tr></thead>\n" if any(table.headings) else ""
    plain = "" if head else ' class="facts"'
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in table.rows
    )
    return f'<div class="wide"><table{plain}>{head}<tbody>{rows}</tbody></table></div>'


_CSS = """
:root { color-scheme: light; --ink: #0f172a; --soft: #475569; --line: #e2e8f0; --accent: #c2410c; }
* { box-sizing: border-box; }
body { margin: 0; background: #f8fafc; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 0 0 .4rem; font-size: 1.25rem; }
h3 { margin: 1.6rem 0 .2rem; font-size: 1rem; }
p { margin: .3rem 0 .8rem; max-width: 75ch; }
header p, .said, figcaption, .notes { color: var(--soft); }
.said { font-style: italic; }
section { margin-top: 1.5rem; padding: 1.2rem 1.3rem; background: #fff;
  border: 1px solid var(--line); border-radius: 10px; }
.sounds { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(255px, 1fr)); }
figure { margin: 1rem 0 0; }
.sound { margin: 0; }
.sound figcaption { margin-bottom: .3rem; font-weight: 600; font-size: .9rem; color: var(--ink); }
img { display: block; max-width: 100%; height: auto; }
.sound img { width: 100%; }
audio { display: block; width: 100%; height: 40px; margin-top: .4rem; }
figcaption, .notes { font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
thead + tbody tr:first-child > * { font-weight: 700; }
.facts td { text-align: left; }
.missing { padding: .5rem .8rem; border-left: 4px solid var(--accent); background: #fff7ed; }
pre { overflow-x: auto; padding: 1rem; background: #f1f5f9; border-radius: 6px; font-size: .82rem; }
summary { margin-top: 1rem; cursor: pointer; color: var(--accent); }
"""
