"""The commands: parse, call, print. Nothing imports this package.

It is imported before what takes time: from here on until a command has `started`, Ctrl-C ends it in
one line, too.
"""

import os
import signal
import sys
from types import FrameType

NAME = os.path.basename(sys.argv[0])


def started() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _: FrameType | None) -> None:
    os.write(2, f"{'speechvq' if NAME == '-m' else NAME}: interrupted\n".encode())
    os._exit(128 + number)  # nothing has begun


# A script that pip installed, or `python -m`, by which the script has no name yet
_is_command = NAME.startswith("speechvq-") or NAME == "-m"
if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
