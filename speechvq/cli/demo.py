"""speechvq-demo: a page in the browser that converts, draws new speech and enrolls."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import threading
from pathlib import Path

from speechvq.cli import numbers, speaking
from speechvq.cli.errors import OK, Parser, command

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-demo
  speechvq-demo --model exp/vctk/vqvae --port 8000
  speechvq-demo --host 0.0.0.0 --max-minutes 1         for all who reach this machine

The page is for this machine alone, unless --host says otherwise. It needs Gradio:
pip install 'speechvq[demo]'. Nothing is fetched, and nothing is sent to others. What visitors send
is kept in a temporary folder for an hour, and goes with the end of this command (Ctrl-C).

{speaking.WHICH_MODEL}
"""


def parser() -> Parser:
    """The options of speechvq-demo."""
    parser = Parser("demo", "Show a model in the browser.", EXAMPLES)
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="to listen on; 0.0.0.0 for all addresses (default: %(default)s)")  # fmt: skip
    add("--port", type=numbers.whole_number, metavar="N",
        help="(default: the first free one from 7860 on)")  # fmt: skip
    add("--max-minutes", type=numbers.above_zero, default=3.0, metavar="M",
        help="of a recording, longer ones are refused (default: %(default)g)")  # fmt: skip
    add("--prior", metavar="DIR", help="prior folder (default: prior in the model folder)")
    speaking.add_model_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    options = parser().parse_args(argv)

    from speechvq.model_folder import find_model

    model = find_model(options.model)
    try:
        from speechvq.demo.serving import served

        serving = served(
            model,
            options.prior and Path(options.prior),
            host=options.host,
            port=options.port,
            most_minutes=options.max_minutes,
            device=options.device,
        )
        with contextlib.suppress(KeyboardInterrupt), serving as url:
            if not _is_loopback(options.host):
                logger.warning(
                    "--host %s: whoever reaches this machine can use the demo, and its time",
                    options.host,
                )
            print(url, flush=True)
            threading.Event().wait()
    except ImportError as error:
        raise ValueError(
            f"{error.name or error} is missing: pip install 'speechvq[demo]'"
        ) from error
    return OK


def _is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    raise SystemExit(main())
