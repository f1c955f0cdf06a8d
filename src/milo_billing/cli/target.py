"""Options that every command shares: which server, as whom, and how to print.

Owns: those options, and the one place where an expected error becomes a message and an exit code. Not: the
commands.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from milo_billing.cli.output import Output, format_error, write_whole
from milo_billing.client.connection import find_connection
from milo_billing.client.errors import ClientError
from milo_billing.client.http import ApiClient

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

_SERVER = Group.create_ordered(
    "Server", help="Found in the kubeconfig of this machine's server when not given."
)

Namespace = Annotated[
    str | None,
    Parameter(
        name=["--namespace", "-n"], help="organization-<name>; not given: every namespace you may read."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which server to talk to, and how to print its answers."""

    output: Annotated[
        Output, Parameter(name=["--output", "-o"], help="A table for people; JSON or YAML for programs.")
    ] = "table"
    kubeconfig: Annotated[
        Path | None, Parameter(group=_SERVER, help="Use the current context of this kubeconfig.")
    ] = None
    server: Annotated[str | None, Parameter(group=_SERVER, help="Address of the API, https://host:port.")] = (
        None
    )
    gateway: Annotated[
        str | None,
        Parameter(group=_SERVER, help="Address for usage; port 8444 beside the API when not given."),
    ] = None
    token: Annotated[
        str | None,
        Parameter(group=_SERVER, help="Bearer token; MILO_BILLING_TOKEN keeps it out of the history."),
    ] = None
    ca_file: Annotated[
        Path | None,
        Parameter(group=_SERVER, help="Certificate authority that signed the server's certificate."),
    ] = None

    @property
    def structured(self) -> bool:
        """Whether answers are printed for programs, whole: as JSON or as YAML."""
        return self.output != "table"

    def write(self, value: object) -> None:
        """Write a whole answer as YAML where that is wanted, and as JSON otherwise."""
        write_whole(value, output=self.output)

    @contextmanager
    def open(self) -> Generator[ApiClient]:
        """A client for the server; whatever it expects to go wrong is printed and ends the process with 1."""
        with self.reporting():
            connection = find_connection(
                server=self.server,
                gateway=self.gateway,
                token=self.token,
                ca_file=self.ca_file,
                kubeconfig=self.kubeconfig,
            )
            with ApiClient(connection) as api:
                yield api

    @contextmanager
    def reporting(self) -> Generator[None]:
        """Print an expected error and end the process with 1, or with 130 on an interrupt."""
        try:
            yield
        except ClientError as error:
            sys.stderr.write(format_error(error))
            raise SystemExit(EXIT_FAILED) from error
        except BrokenPipeError as error:
            # the reader of our output has gone (`| head`): there is nobody left to tell
            sys.stderr.close()
            raise SystemExit(EXIT_FAILED) from error
        except KeyboardInterrupt as error:
            sys.stderr.write("interrupted; what was acknowledged so far stays\n")
            raise SystemExit(EXIT_INTERRUPTED) from error


DEFAULT = Target()
