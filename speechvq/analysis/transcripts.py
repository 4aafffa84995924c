"""The words of a transcript, without the marks of what is no word.

Corpora mark noises, laughter and unknown words in their transcripts, each in its own way:
`<noise>` and `<unk>` in Kaldi's recipes, `[laughter]` and `[laughter-yes]` in Switchboard,
`{breath}`, `(unk)`, `++noise++` and `!SIL` in others.
"""

import re

_LAUGHED = re.compile(r"\[(?:laughter|laughing|laugh)-([^\[\]]+)\]", re.IGNORECASE)
_MARK = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]"
    r"|[({]+\s*[*+]?(?:unk|unknown|unintelligible|inaudible|noise|sil|silence|pause|music|applause"
    r"|crosstalk|(?:laugh|cough|sneez|breath|inhal|exhal|sigh|gasp|sniff)\w*)[*+]?\s*[)}]+"
    r"|(?<!\S)(?:\++[^\s+]*\++|!sil|!exclamation)(?!\S)",
    re.IGNORECASE,
)


def spoken(text: str) -> str:
    """Leave out of a transcript the marks of noises, silence and unknown words.

    Words that are said in laughter or stand in parentheses stay; a word that is broken off,
    ``th[is]-``, is cut where it is.

    Examples
    --------
    >>> spoken("<noise> I [laughter-don't] (he said) know {breath} [laughter]").split()
    ['I', "don't", 'he', 'said', 'know']
    """
    return re.sub(r"[(){}]", " ", _MARK.sub("", _LAUGHED.sub(r"\1", text)))
