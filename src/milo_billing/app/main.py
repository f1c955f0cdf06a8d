"""The entry point `milo-billing`: the commands that talk to a server, and those that are the server.

Server modules are imported inside the commands: a client command must not pay for loading a server.
"""

import sys
from dataclasses import asdict
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from milo_billing.cli.commands import app
from milo_billing.cli.output import Output, format_error, write_whole
from milo_billing.client.errors import ClientError
from milo_billing.kernel.errors import MiloError

_OUTPUT = Parameter(name=["--output", "-o"])
Announced = Annotated[Literal["table", "json"], _OUTPUT]
Printed = Annotated[Output, _OUTPUT]

server_group = "Server"


@app.command(group=server_group)
def serve(
    *,
    role: Literal["api", "gateway", "worker"] | None = None,
    new_admin_token: bool = False,
    output: Announced = "table",
) -> None:
    """Run the server: the API, the usage gateway, the worker and the embedded PostgreSQL.

    Settings come from the environment, all with the prefix MILO_BILLING_ (DATA_DIR, HOST, API_PORT, GATEWAY_PORT,
    HEALTH_PORT, CLOCK …), and DATABASE_URL for another PostgreSQL.

    Example: MILO_BILLING_API_PORT=0 milo-billing serve

    Parameters
    ----------
    role
        Run this process alone, over the database that DATABASE_URL names.
    new_admin_token
        Replace the administrator's token where the data folder has no kubeconfig with it.
    output
        How to say that it is ready: as text, or as one line of JSON.
    """
    from milo_billing.app.serve import serve as run
    from milo_billing.infra.runtime import PROCESS_ROLES

    run(
        _settings(),
        roles=(role,) if role else PROCESS_ROLES,
        new_admin_token=new_admin_token,
        on_ready=lambda found: _say_ready(found, output),
    )


def _say_ready(found: dict[str, Any], output: Announced) -> None:
    if output == "json":
        import json

        print(json.dumps(found), flush=True)
        return
    lines = [f"Milo Billing {found['version']} is ready.", ""]
    titles = {"api": "API", "gateway": "Usage", "health": "Health"}
    lines += [f"  {title:8} {found[name]}" for name, title in titles.items() if name in found]
    lines += [
        "",
        f"  export KUBECONFIG={found['kubeconfig']}",
        "  kubectl get billingaccounts --all-namespaces",
    ]
    print("\n".join(lines), flush=True)


@app.command(group=server_group)
def doctor(*, projections: bool = False, output: Printed = "table") -> None:
    """Look for what keeps the server from starting or running well, and say what to do; exit 1 if there is something.

    Examples: milo-billing doctor --output json
    milo-billing doctor --projections

    Parameters
    ----------
    projections
        Build every projection (payers, counts, catalog, grants …) anew from the objects as well, and name what
        differs. Works while the server runs, too.
    output
        As text, or as JSON or YAML.
    """
    from milo_billing.app.doctor import examine, render_table

    findings = examine(_settings(), projections=projections)
    if output == "table":
        print(render_table(findings))
    else:
        write_whole([asdict(finding) for finding in findings], output=output)
    if any(finding.problem for finding in findings):
        sys.exit(1)


@app.command(group=server_group)
def migrate(*, post: bool = False, output: Printed = "table") -> None:
    """Bring the database's schema to this version, without starting the server.

    Example: DATABASE_URL=postgresql://billing@db/billing milo-billing migrate --post

    Parameters
    ----------
    post
        Apply as well what older processes cannot bear; refused while one is alive.
    output
        As text, or as JSON or YAML.
    """
    from milo_billing.app.storage import open_storage
    from milo_billing.infra.clock import SystemClock
    from milo_billing.infra.migrations import migrate as run

    with open_storage(_settings()) as storage:
        applied = run(storage.conninfo, now=SystemClock().now(), phase="post" if post else "pre")
    if output == "table":
        print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")
    else:
        write_whole({"applied": applied}, output=output)


@app.command(group=server_group)
def generate(*, check: bool = False) -> None:
    """Write the files of a checkout that are made from others: migrations, tables, client types, reference.

    Example: milo-billing generate --check

    Parameters
    ----------
    check
        Write nothing; exit 1 and name the files that differ.
    """
    from milo_billing.app.generate import generate as run

    changed = run(commands=app, check=check)
    for path in changed:
        print(f"{'differs' if check else 'wrote'} {path}")
    if check and changed:
        sys.exit(1)


@app.command(group=server_group)
def manifests() -> None:
    """Print the Kubernetes manifests of every kind: CustomResourceDefinitions, and the roles to use them.

    Example: milo-billing manifests | kubectl apply -f -
    """
    from milo_billing.app.manifests import render_manifests

    print(render_manifests(), end="")


def _settings() -> Any:
    from pydantic import ValidationError

    from milo_billing.infra.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"MILO_BILLING_{str(entry['loc'][0]).upper()}: {entry['msg']}"
            if entry["loc"]
            else entry["msg"].removeprefix("Value error, ")
            for entry in error.errors()
        )
        raise MiloError(f"settings: {wrong}") from error


def main(words: list[str] | None = None) -> None:
    """Run one command, that of the process where none is given. What went wrong outside is said, with exit code 1."""
    try:
        app(words)
    except ClientError as error:  # before a server was asked, such as a file that is not there
        sys.stderr.write(format_error(error))
        sys.exit(1)
    except MiloError as error:
        print(f"milo-billing: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that is not ours: the system's own words name it
        print(f"milo-billing: {error}. milo-billing doctor looks for the cause", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
