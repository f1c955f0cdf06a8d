"""Commands on notices: which events there are, what was sent and how it went, secrets, tests and replays."""

import sys
from time import sleep
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Namespace, Target
from milo_billing.client import notices as client
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.objects import Objects

notices = App(name="notices", help="Who is told of what: events, channels, deliveries.")

TEST_S_MAX = 30
_Channel = Annotated[str, Parameter(help="The name of the NotificationChannel.")]
_State = Annotated[
    Literal["Waiting", "Failed", "Delivered", "Dead"] | None,
    Parameter(help="Waiting and Failed are on their way still, Dead was given up."),
]
_Type = Annotated[str | None, Parameter(help="A type of event, such as invoice.issued.")]
_From = Annotated[
    str | None,
    Parameter(name="--from", help="Events from this time on: 2026-11-01, or 2026-11-01T08:00:00Z."),
]
_To = Annotated[str | None, Parameter(name="--to", help="Events before this time.")]


@notices.command(help_epilogue="Example:\n\n  milo-billing notices events")
def events(*, target: Target = DEFAULT) -> None:
    """List every event that channels can hear of; with --output json or yaml the schemas of their data, too."""
    with target.open() as api:
        found = client.list_events(api)
    if target.structured:
        target.write({"items": found})
    else:
        write_table(["Event", "When"], [[one["type"], one["about"]] for one in found])


@notices.command(
    help_epilogue="Examples:\n\n  milo-billing notices deliveries --state Dead\n  "
    "milo-billing notices deliveries -n organization-acme --channel books --from 2026-11-01"
)
def deliveries(
    *,
    namespace: Namespace = None,
    channel: Annotated[str | None, Parameter(help="The name of a channel.")] = None,
    state: _State = None,
    type: _Type = None,
    from_: _From = None,
    to: _To = None,
    limit: Annotated[int, Parameter(help="So many at most.")] = 50,
    target: Target = DEFAULT,
) -> None:
    """List what was sent and how it went, the latest event first."""
    wanted = {
        "namespace": namespace,
        "channel": channel,
        "state": state,
        "type": type,
        "from": from_,
        "to": to,
    }
    with target.open() as api:
        found = list(client.list_deliveries(api, limit=limit, wanted=wanted))
    if target.structured:
        target.write({"items": found})
        return
    if not found:
        sys.stderr.write(
            "No delivery is like that. Who is told, channels say: milo-billing get notificationchannels\n"
        )
        return
    write_table(
        ["Occurred", "Event", "Channel", "State", "Attempts", "Next attempt", "Delivery"],
        [
            [
                one["occurredAt"],
                one["type"],
                f"{one['namespace']}/{one['channel'] or 'mail'}",
                one["state"],
                one["attempts"],
                one["nextAttemptAt"] or "",
                one["id"],
            ]
            for one in found
        ],
        right=["Attempts"],
    )


@notices.command(help_epilogue="Example:\n\n  milo-billing notices show 1b4e28ba-2fa1-11d2-883f-0016d3cca427")
def show(
    delivery: Annotated[str, Parameter(help="What `notices deliveries` lists.")],
    /,
    *,
    target: Target = DEFAULT,
) -> None:
    """Show one delivery with every attempt: what the other side answered, and how long it took."""
    with target.open() as api:
        found = client.get_delivery(api, id=delivery)
    if target.structured:
        target.write(found)
        return
    for label, key in (
        ("Event", "type"),
        ("State", "state"),
        ("Message", "messageId"),
        ("Occurred", "occurredAt"),
    ):
        write(f"{label + ':':<10}{found[key]}")
    write("")
    write_table(
        ["Attempt", "Begun", "Outcome", "Status", "ms", "Answer"],
        [
            [
                one["number"],
                one["begunAt"],
                one["outcome"] or "cut short",
                one["status"] or "",
                "" if one["latencyMs"] is None else one["latencyMs"],
                " ".join(one["answer"].split())[:100],
            ]
            for one in found["log"]
        ],
        right=["Attempt", "ms"],
    )


@notices.command(
    help_epilogue="Examples:\n\n  milo-billing notices replay 1b4e28ba-2fa1-11d2-883f-0016d3cca427\n  "
    "milo-billing notices replay -n organization-acme --channel books --from 2026-11-01 --to 2026-11-02"
)
def replay(
    delivery: Annotated[
        str | None, Parameter(help="One delivery; without it those that the options find.")
    ] = None,
    /,
    *,
    namespace: Namespace = None,
    channel: Annotated[str | None, Parameter(help="The name of a channel.")] = None,
    state: Annotated[
        Literal["Dead", "Delivered", "Failed", "Waiting"],
        Parameter(help="Those in this state; Delivered sends again what has arrived."),
    ] = "Dead",
    type: _Type = None,
    from_: _From = None,
    to: _To = None,
    target: Target = DEFAULT,
) -> None:
    """Send deliveries again, each with the id that it had: a receiver that has seen it can tell."""
    with target.open() as api:
        if delivery is not None:
            answer: JSON = {"replayed": 1, "delivery": client.replay_delivery(api, id=delivery)}
        else:
            asked = {
                "namespace": namespace,
                "channel": channel,
                "state": state,
                "type": type,
                "from": from_,
                "to": to,
            }
            answer = _replay_all(api, {name: value for name, value in asked.items() if value})
    if target.structured:
        target.write(answer)
    else:
        write(f"replayed {answer['replayed']}")


def _replay_all(api: ApiClient, wanted: dict[str, str]) -> JSON:
    """A part at a time, each of what had ended when the first one was sent."""
    replayed, more = 0, True
    while more:
        answer = client.replay_deliveries(api, wanted)
        replayed += answer["replayed"]
        more = answer["more"]
        wanted = {**wanted, "endedBefore": answer["endedBefore"]}
    return {"replayed": replayed}


@notices.command(
    help_epilogue="Examples:\n\n  milo-billing notices secret books -n organization-acme\n  "
    "milo-billing notices secret books -n organization-acme --overlap-hours 0"
)
def secret(
    name: _Channel,
    /,
    *,
    namespace: Namespace = None,
    overlap_hours: Annotated[
        int,
        Parameter(help="For so long the secret before it signs as well, so that receivers can change over."),
    ] = 24,
    target: Target = DEFAULT,
) -> None:
    """Make a new secret that webhooks are signed with, and print it, this once.

    A webhook hears nothing before its first secret.
    """
    with target.open() as api:
        place = _place(api, name, namespace=namespace)
        made = client.rotate_secret(api, namespace=place, name=name, body={"overlapHours": overlap_hours})
    if target.structured:
        target.write(made)
    else:
        write(made["secret"])


@notices.command(help_epilogue="Example:\n\n  milo-billing notices test books -n organization-acme")
def test(
    name: _Channel,
    /,
    *,
    namespace: Namespace = None,
    wait: Annotated[bool, Parameter(help="Wait for the answer, up to half a minute.")] = True,
    target: Target = DEFAULT,
) -> None:
    """Send a test event to a channel, and say what came of it; exit 1 if it did not arrive."""
    with target.open() as api:
        place = _place(api, name, namespace=namespace)
        tested = client.send_test(api, namespace=place, name=name)
        id = tested["status"]["lastTest"]["delivery"]
        found = client.get_delivery(api, id=id)
        for _ in range(TEST_S_MAX * 2 if wait else 0):
            if found["log"] and found["log"][0]["outcome"] is not None:
                break
            sleep(0.5)
            found = client.get_delivery(api, id=id)
    if target.structured:
        target.write(found)
    else:
        last: dict[str, Any] = found["log"][0] if found["log"] else {}
        status = f", status {last['status']}" if last.get("status") else ""
        said = f": {' '.join(last['answer'].split())[:200]}" if last.get("answer") else ""
        write(f"{found['state']}{status}{said}")
    if wait and found["state"] != "Delivered":
        raise SystemExit(EXIT_FAILED)


def _place(api: ApiClient, name: str, *, namespace: str | None) -> str:
    """The namespace of the one channel of this name."""
    if namespace is not None:
        return namespace
    objects = Objects(api)
    listed = objects.list(objects.find_kind("notificationchannels"), namespace=None)
    places = [one["metadata"]["namespace"] for one in listed if one["metadata"]["name"] == name]
    if len(places) == 1:
        return places[0]
    if places:
        raise ClientError(
            f"{name!r} is the name of {len(places)} channels.", where=", ".join(places), next_step="Give -n."
        )
    raise ClientError(
        f"There is no notification channel {name!r}.",
        where="every namespace you may read",
        next_step="`milo-billing get notificationchannels` shows what there is.",
    )
