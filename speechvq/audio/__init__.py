"""Reading and writing audio files, whole or piece by piece.

Everything that enters is mono float32 in [-1, 1]; everything that leaves is 16-bit. What cannot be
used is an `AudioError` of one line that begins with the file's path.
"""

from speechvq.audio.checks import SHORTEST, SILENT_PEAK, check_speech, checked
from speechvq.audio.errors import AudioError
from speechvq.audio.finding import SUFFIXES, find
from speechvq.audio.level import speech_level
from speechvq.audio.reading import blocks, info, read
from speechvq.audio.writing import WRITTEN, Writer, stream_header, to_pcm, write, write_bytes

__all__ = [
    "SHORTEST",
    "SILENT_PEAK",
    "SUFFIXES",
    "WRITTEN",
    "AudioError",
    "Writer",
    "blocks",
    "check_speech",
    "checked",
    "find",
    "info",
    "read",
    "speech_level",
    "stream_header",
    "to_pcm",
    "write",
    "write_bytes",
]
