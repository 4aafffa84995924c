"""The page: a template filled with what was found beside a model.

The page fetches nothing. Style, script and pictures are inside of it, and so are the sounds, up to
`EMBEDDED` bytes in all; more sounds are files in the folder of the page.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from speechvq.audio import write_bytes
from speechvq.report.code_map import CodeMap, by_phone
from speechvq.report.pictures import spectrogram_png
from speechvq.report.players import KINDS, Player, Version
from speechvq.report.scores import Analysis

if TYPE_CHECKING:
    from markupsafe import Markup

EMBEDDED = 16 << 20
"""Bytes of sounds that are embedded in the page; of more, each is a file beside it."""

INDEX = "index.html"


@dataclass(frozen=True)
class Highlight:
    """A number at the top of the page, and what it means in one sentence."""

    value: str
    name: str
    meaning: str


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes
    ----------
    title, subtitle : str
        Its heading, and a sentence about the model.
    highlights : sequence of Highlight
        The most important numbers.
    speech, samples : sequence of Player
        Originals with reconstructions and conversions; speech drawn from a prior.
    codes : CodeMap
        The phones of the codes; empty if they are not known.
    analyses : sequence of Analysis
        In the order of their sections.
    curves : bytes or None
        Training curves, as SVG.
    stages : str
        A sentence about the stages of the training.
    facts : sequence of (str, str)
        Dimensions of the model.
    card : str
        The model card, in Markdown.
    missing : dict of str to list of str
        By what there is not yet, the commands that make it.
    """

    title: str
    subtitle: str
    highlights: Sequence[Highlight]
    speech: Sequence[Player]
    samples: Sequence[Player]
    codes: CodeMap
    analyses: Sequence[Analysis]
    curves: bytes | None
    stages: str
    facts: Sequence[tuple[str, str]]
    card: str
    missing: dict[str, list[str]]


def write_page(page: Page, out: Path) -> Path:
    """Write ``index.html`` to a folder, and sounds that are not embedded to ``sounds/`` there.

    Raises
    ------
    ValueError
        The extra ``report`` is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise ValueError(f"the page needs {error.name}; {INSTALL}") from error
    sounds = _Sounds(out, [v for p in (*page.speech, *page.samples) for v in p.versions])
    templates = files("speechvq.report") / "templates"
    style, script = (Markup((templates / n).read_text("utf-8")) for n in ("style.css", "page.js"))
    environment = Environment(
        loader=PackageLoader("speechvq.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = itertools.count(1)
    text = environment.get_template("page.html.j2").render(
        page=page,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        card=_rendered(page.card),
        by_phone=by_phone(page.codes),
        sound=sounds.source,
        embedded=sounds.embedded,
        spectrogram=lambda v: data_uri(spectrogram_png(v.waveform, v.sample_rate), "image/png"),
        picture=lambda path: data_uri(path.read_bytes(), mimetypes.guess_type(path)[0] or ""),
        data_uri=data_uri,
        next_number=lambda: next(numbers),
    )
    write_bytes(out / INDEX, text.encode())
    return out / INDEX


def is_page(path: Path) -> bool:
    """Whether a file is a page of `write_page`."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"speechvq-report" in file.read(1000)


INSTALL = 'install it with: pip install "speechvq[report]"'


class _Sounds:
    """Addresses of sounds: all are embedded, or all are files in the folder of the page."""

    def __init__(self, out: Path, versions: Sequence[Version]):
        self._out = out
        self.embedded = sum(v.path.stat().st_size for v in versions) <= EMBEDDED

    def source(self, version: Version) -> str:
        """Where the page finds a sound."""
        content = version.path.read_bytes()
        if self.embedded:
            return data_uri(content, KINDS[version.path.suffix.lower()])
        name = f"sounds/{version.path.parent.name}/{version.path.name}"
        write_bytes(self._out / name, content)
        return quote(name)


def data_uri(content: bytes, kind: str) -> str:
    """A file of a media type such as "audio/wav" as an address that holds the file itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _rendered(card: str) -> Markup:
    """Markdown as HTML, below headings of the page; HTML in it is text, and images are left out."""
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise ValueError(f"the page needs markdown-it-py; {INSTALL}") from error
    from markupsafe import Markup

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = markdown.parse(card)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html = markdown.renderer.render(tokens, markdown.options, {})
    wide = '<div class="wide" role="region" aria-label="table" tabindex="0"><table>'
    return Markup(html.replace("<table>", wide).replace("</table>", "</table></div>"))
