"""Commands on what may be used."""

from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import write
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.entitlements import review_entitlement


def may_use(
    project: Annotated[str, Parameter(help="Name of the project.")],
    service: Annotated[str, Parameter(help="Name of the Service.")],
    /,
    *,
    target: Target = DEFAULT,
) -> int:
    """Say whether a project may use a service now, and why; exits 1 when it may not."""
    with target.open() as api:
        review = review_entitlement(api, project=project, service=service)
    status = review.get("status", {})
    allowed = bool(status.get("allowed"))
    if target.structured:
        target.write(dict(review))
    else:
        write(f"{'yes' if allowed else 'no'} ({status.get('reason', '')}): {status.get('message', '')}")
    return 0 if allowed else EXIT_FAILED


def mount(app: App) -> None:
    """Add these commands to the app."""
    app.command(may_use, name="may-use", help_epilogue="Example:\n\n  milo-billing may-use checkout compute")
