"""Reading and writing audio files, whole or in blocks.

Audio is read as mono float32 in [-1, 1] and written as 16-bit integers. A file that cannot be used
raises an `AudioError`: one line that begins with the path of the file.
"""

from speechvq.audio.checks import SHORTEST, SILENT_PEAK, checked
from speechvq.audio.errors import AudioError
from speechvq.audio.finding import (
    DRAWN,
    SUFFIXES,
    bad_name,
    find,
    is_drawn,
    is_text,
    recorded,
    walk,
)
from speechvq.audio.level import Speech, find_speech, speech_level
from speechvq.audio.live import live_blocks
from speechvq.audio.places import absolute, as_url, fetched
from speechvq.audio.reading import Recording, blocks, checked_waveform, framed, info, read
from speechvq.audio.spool import Spool
from speechvq.audio.writing import (
    WRITTEN,
    Writer,
    naming,
    remove_leftovers,
    spooled,
    stream_header,
    to_pcm,
    write,
    write_bytes,
)

__all__ = [
    "DRAWN",
    "SHORTEST",
    "SILENT_PEAK",
    "SUFFIXES",
    "WRITTEN",
    "AudioError",
    "Recording",
    "Speech",
    "Spool",
    "Writer",
    "absolute",
    "as_url",
    "blocks",
    "checked_waveform",
    "checked",
    "fetched",
    "bad_name",
    "find",
    "find_speech",
    "framed",
    "info",
    "is_drawn",
    "is_text",
    "live_blocks",
    "naming",
    "read",
    "recorded",
    "remove_leftovers",
    "speech_level",
    "spooled",
    "stream_header",
    "to_pcm",
    "walk",
    "write",
    "write_bytes",
]
