"""Commands on commitments: list, show how they stand, accept."""

from typing import Annotated, Any, cast

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_server_table, write_table
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.commitments import accept_commitment, get_commitment_summary
from milo_billing.client.errors import ClientError
from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects

commitment = App(name="commitment", help="What accounts have promised: list, see how it stands, accept.")

_Name = Annotated[str, Parameter(help="The commitment's name.")]


@commitment.command(
    name="list", help_epilogue="Example:\n\n  milo-billing commitment list -n organization-acme"
)
def list_(*, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """List commitments."""
    with target.open() as api:
        objects = Objects(api)
        kind = objects.find_kind("commitments")
        if target.structured:
            target.write({"items": list(objects.list(kind, namespace=namespace))})
        else:
            write_server_table(objects.table(kind, namespace=namespace), namespaces=namespace is None)


@commitment.command(help_epilogue="Example:\n\n  milo-billing commitment show yearly -n organization-acme")
def show(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Show how a commitment stands now: spent, remaining, and what would be missing at this rate."""
    with target.open() as api:
        found = _find(api, name, namespace=namespace)
        summary = get_commitment_summary(api, namespace=found["metadata"]["namespace"], name=name)
    if target.structured:
        target.write({"commitment": found, "summary": summary})
        return
    for label, value in _heading(found):
        write(f"{label + ':':<12}{value}")
    items = cast("list[dict[str, Any]]", summary["items"])
    if not items:
        write("")
        write("No interval of a minimum spend is running.")
        return
    write("")
    write_table(
        [
            "Interval",
            "Start",
            "End",
            "Minimum",
            "Spent",
            "%",
            "Remaining",
            "Days left",
            "Projected",
            "Missing",
        ],
        [
            [
                one["interval"],
                one["start"],
                one["end"],
                one["minimumSpend"],
                one["spent"],
                one["percent"],
                one["remaining"],
                one["daysLeft"],
                one["projectedSpend"],
                one["projectedShortfall"],
            ]
            for one in items
        ],
        right=["Minimum", "Spent", "%", "Remaining", "Days left", "Projected", "Missing"],
    )


@commitment.command(help_epilogue="Example:\n\n  milo-billing commitment accept yearly -n organization-acme")
def accept(name: _Name, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Accept a commitment in your name. From then on it cannot be changed."""
    with target.open() as api:
        place = _find(api, name, namespace=namespace)["metadata"]["namespace"]
        accepted = accept_commitment(api, namespace=place, name=name)
    if target.structured:
        target.write(accepted)
        return
    acceptance = accepted["status"]["acceptance"]
    write(f"accepted by {acceptance['acceptedBy']} at {acceptance['acceptedAt']}")


def _find(api: ApiClient, name: str, *, namespace: str | None) -> dict[str, Any]:
    """The one commitment of this name."""
    objects = Objects(api)
    kind = objects.find_kind("commitments")
    listed = objects.list(kind, namespace=namespace)
    matches = [one for one in listed if one["metadata"]["name"] == name]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise ClientError(
            f"There is no commitment {name!r}.",
            where=namespace or "every namespace you may read",
            next_step="`milo-billing commitment list` shows what there is.",
        )
    places = ", ".join(one["metadata"]["namespace"] for one in matches)
    raise ClientError(
        f"{name!r} is the name of {len(matches)} commitments.", where=places, next_step="Give -n."
    )


def _heading(found: dict[str, Any]) -> list[tuple[str, str]]:
    spec, status = found["spec"], found.get("status", {})
    acceptance = status.get("acceptance")
    accepted = f"{acceptance['acceptedAt']} by {acceptance['acceptedBy']}" if acceptance else "not yet"
    return [
        ("Commitment", f"{found['metadata']['namespace']}/{found['metadata']['name']}"),
        ("Account", spec["billingAccountRef"]["name"]),
        ("Phase", status.get("phase", "")),
        ("Accepted", accepted),
        ("Starts", spec["startsOn"]),
        ("Ends", status.get("endsOn", "renews until told otherwise")),
    ]
