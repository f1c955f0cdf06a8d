"""Commands on payers, audit and tokens."""

from typing import Annotated, cast

from cyclopts import App, Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.billing import create_token, get_payer, verify_audit
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON
from milo_billing.client.timestamps import format_instant, parse_instant

audit = App(name="audit", help="Prove that the audit log is whole.")
token = App(name="token", help="Make bearer tokens of service accounts.")


@audit.command(help_epilogue="Example:\n\n  milo-billing audit verify")
def verify(*, chain: int | None = None, target: Target = DEFAULT) -> int:
    """Recompute the hash chain of every organization, and of the platform (0); exits 1 if one is broken.

    Parameters
    ----------
    chain
        Only this one: an organization's number, 0 for the platform.
    """
    with target.open() as api:
        report = verify_audit(api, chain=chain)
    if target.structured:
        target.write(report)
    else:
        chains = cast("list[JSON]", report.get("chains") or [])
        columns = ["chain", "records", "ok", "firstBroken"]
        write_table(columns, [[item.get(column) for column in columns] for item in chains], right=["records"])
        write(
            "every chain is whole"
            if report.get("ok")
            else "a chain is broken: restore from a backup and compare"
        )
    return 0 if report.get("ok") else EXIT_FAILED


@token.command(
    help_epilogue="Example:\n\n  milo-billing token create organization-acme/meter --expires-in 86400"
)
def create(
    service_account: Annotated[str, Parameter(help="namespace/name of the ServiceAccount.")],
    /,
    *,
    expires_in: Annotated[int | None, Parameter(help="Seconds; the server's default when not given.")] = None,
    target: Target = DEFAULT,
) -> None:
    """Make a bearer token. It is shown once: the server keeps only its hash."""
    with target.open() as api:
        namespace, name = split_name(service_account, what="service account", example="meter")
        made = create_token(api, namespace=namespace, name=name, expiration_s=expires_in)
    if target.structured:
        target.write(made)
    else:
        write(str(made["token"]))


def who_pays(project: str, /, *, at: str | None = None, target: Target = DEFAULT) -> int:
    """Say which account pays for a project; exits 1 when nobody does.

    Parameters
    ----------
    project
        Name of the project.
    at
        An instant, RFC 3339; now when not given.
    """
    with target.open() as api:
        instant = None
        if at is not None:
            try:
                instant = format_instant(parse_instant(at))
            except ValueError as error:
                raise ClientError(f"{at!r} is no time: {error}.") from error
        payer = get_payer(api, project=project, at=instant)
    account = cast("JSON | None", payer.get("account"))
    if target.structured:
        target.write(payer)
    elif account is None:
        write(f"nobody pays for {project} at {payer.get('at')}")
    else:
        write_table(
            ["Project", "Account", "Since", "Until"],
            [[project, f"{account['namespace']}/{account['name']}", payer.get("since"), payer.get("until")]],
        )
    return 0 if account is not None else EXIT_FAILED


def mount(app: App) -> None:
    """Add these commands to the app."""
    app.command(audit)
    app.command(token)
    app.command(
        who_pays,
        name="who-pays",
        help_epilogue="Example:\n\n  milo-billing who-pays checkout --at 2026-10-15T00:00:00Z",
    )
