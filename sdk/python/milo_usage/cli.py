"""`python -m milo_usage`: look at a spool, send what is left in it, read what was rejected."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from milo_usage import deadletters, inspection
from milo_usage.clock import Clock, SystemClock
from milo_usage.errors import UsageError
from milo_usage.events import format_us
from milo_usage.folder import Folder
from milo_usage.inspection import State
from milo_usage.recorder import Recorder

PROGRESS_EVERY_S: Final = 2.0
FLUSH_S: Final = 60.0

_EXAMPLES: Final = """\
examples:
  python -m milo_usage status --spool /var/spool/milo-usage
  python -m milo_usage flush --spool /var/spool/milo-usage --url https://billing.example.com:8444 \\
      --token-file /etc/milo/token --ca-file /etc/milo/ca.pem
  python -m milo_usage dead-letters --spool /var/spool/milo-usage --output json
  python -m milo_usage dead-letters --spool /var/spool/milo-usage --resend
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 when all is well, 1 when something waits or was rejected, 2 when it cannot be done."""
    chosen = _parser().parse_args(arguments)
    clock = SystemClock()
    try:
        if chosen.command == "status":
            return _status(chosen, clock)
        if chosen.command == "flush":
            return _flush(chosen)
        return _dead_letters(chosen, clock)
    except (UsageError, OSError, ValueError) as error:
        print(f"milo_usage: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m milo_usage",
        description="Look after the spool of milo_usage. Safe beside running recorders.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status", help="what waits, who holds it, what is wrong; exit 1 if anything waits"
    )
    flush = commands.add_parser(
        "flush", help="send what ended processes left; exit 1 if something is left after all"
    )
    letters = commands.add_parser(
        "dead-letters", help="what was rejected and why; exit 1 if there is anything"
    )
    for command in (status, flush, letters):
        command.add_argument("--spool", type=Path, required=True, metavar="DIR", help="the spool folder")
    for command in (status, letters):
        command.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    flush.add_argument("--url", required=True, help="the gateway, such as https://billing.example.com:8444")
    flush.add_argument(
        "--token-file", type=Path, required=True, metavar="FILE", help="a file with the bearer token"
    )
    flush.add_argument("--ca-file", type=Path, metavar="FILE", help="the gateway's certificate authority")
    flush.add_argument(
        "--timeout", type=float, default=FLUSH_S, metavar="S", help=f"default: {FLUSH_S:.0f} seconds"
    )
    flush.add_argument("--allow-plain-http", action="store_true", help="let the token travel in the clear")
    letters.add_argument(
        "--resend", action="store_true", help="put them back into the spool, once the cause is mended"
    )
    return parser


def _status(chosen: argparse.Namespace, clock: Clock) -> int:
    state = inspection.inspect(chosen.spool)
    if chosen.output == "json":
        print(json.dumps({**asdict(state), "events": state.events, "oldest_us": state.oldest_us}))
    else:
        _print_status(state, now_us=clock.now_us())
    return 1 if state.events or state.rejected else 0


def _print_status(state: State, *, now_us: int) -> None:
    oldest = "" if state.oldest_us is None else f", the oldest from {format_us(state.oldest_us)}"
    print(f"{state.events} events wait{oldest}; the folder has {state.bytes} bytes")
    for writer in state.writers:
        owner = (
            f"process {writer.details.get('pid', '?')}"
            if writer.alive
            else "nobody (adopted by the next process)"
        )
        print(f"  {writer.writer}  {writer.events} events, {writer.bytes} bytes, held by {owner}")
        if error := writer.details.get("last_error"):
            ago_s = (now_us - int(writer.details.get("last_error_us", now_us))) // 1_000_000
            print(f"    {ago_s} s ago: {error}")
        if writer.damaged_bytes:
            print(f"    {writer.damaged_bytes} bytes are no events")
    for reason, count in sorted(state.rejected.items()):
        print(f"{count} dead letters: {reason}")


def _flush(chosen: argparse.Namespace) -> int:
    if not chosen.spool.is_dir():
        raise FileNotFoundError(f"{chosen.spool} is not there")
    recorder = Recorder(
        url=chosen.url,
        spool=chosen.spool,
        token_file=chosen.token_file,
        ca_file=chosen.ca_file,
        allow_plain_http=chosen.allow_plain_http,
    )
    until_s = time.monotonic() + chosen.timeout
    try:
        while not (done := recorder.flush(min(PROGRESS_EVERY_S, max(0.0, until_s - time.monotonic())))):
            metrics = recorder.metrics()
            trouble = f"; {metrics.last_error}" if metrics.last_error else ""
            print(
                f"{metrics.acknowledged} sent, {metrics.unsent_bytes} bytes to go{trouble}", file=sys.stderr
            )
            if time.monotonic() >= until_s:
                break
        metrics = recorder.metrics()
    finally:
        recorder.close(timeout=0)
    left = inspection.inspect(chosen.spool)
    print(f"{metrics.acknowledged} sent, {metrics.rejected} rejected, {left.events} left")
    if left.events and done:
        print("what is left is held by running processes, which send it themselves")
    return 0 if done and not metrics.rejected else 1


def _dead_letters(chosen: argparse.Namespace, clock: Clock) -> int:
    if not chosen.spool.is_dir():
        raise FileNotFoundError(f"{chosen.spool} is not there")
    if chosen.resend:
        again, kept = inspection.resend(chosen.spool, clock=clock)
        print(f"{again} put back into the spool, {kept} without an event kept")
        return 0
    letters = deadletters.read(Folder(chosen.spool))
    for letter in letters:
        fields: dict[str, Any] = {"at": letter.at, "reason": letter.reason, "detail": letter.detail}
        if chosen.output == "json":
            print(json.dumps({**fields, "event": letter.event, "raw_bytes": len(letter.raw)}))
        else:
            print(f"{letter.at}  {letter.id or '-'}  {letter.reason}: {letter.detail}")
    return 1 if letters else 0
