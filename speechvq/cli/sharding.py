"""--shard and --join of the commands that work through a manifest."""

from __future__ import annotations

import argparse

from speechvq.cli.errors import Parser
from speechvq.shards import Shard, parse_shard, shard_of_process


def add_shard_options(parser: Parser) -> None:
    """--shard and --join, for a manifest."""
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--shard", metavar="I/N", type=_shard,
        help="do part I of N of a manifest, I from 0 to N - 1")  # fmt: skip
    many.add_argument("--join", action="store_true",
        help="check and join what the shards of a manifest have made")  # fmt: skip


def check_shard(options: argparse.Namespace) -> None:
    """Set the shard of a process of torchrun's; ValueError for shards without a manifest."""
    if not options.join:
        options.shard = options.shard or shard_of_process()
    if (options.shard or options.join) and not options.manifest:
        raise ValueError("--shard, --join and torchrun are for a manifest: pass --manifest")


def _shard(text: str) -> Shard:
    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
