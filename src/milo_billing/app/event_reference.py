"""docs/reference/events.md: every event that channels hear of, a table row a field."""

import json
from typing import Any

from milo_billing.app.reference import HEADER
from milo_billing.notices.rules.catalogue import EVENTS, EventType


def render_event_reference() -> str:
    """A section an event: when it happens, its fields, and the JSON schema of its `data`."""
    intro = (
        "# Events\n\nWhat a NotificationChannel hears of. Fields are only ever added. "
        "Amounts are decimal strings in the currency's main unit.\n"
    )
    return HEADER + intro + "".join(_section(event) for event in EVENTS)


def _section(event: EventType) -> str:
    rows = [
        f"| `{name}` | {_type(schema)}{_always(event, name)} | {schema.get('description', '')} |"
        for name, schema in {**event.required, **event.optional}.items()
    ]
    schema = json.dumps(event.schema, indent=1)
    table = "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])
    return (
        f"\n## {event.type}\n\n{event.about}\n\n{table}\n\n"
        f"<details><summary>JSON schema of <code>data</code></summary>\n\n```json\n{schema}\n```\n\n</details>\n"
    )


def _always(event: EventType, name: str) -> str:
    return ", always" if name in event.required else ""


def _type(schema: dict[str, Any]) -> str:
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return "`{" + ", ".join(schema["properties"]) + "}`"
    return schema.get("format", schema["type"])
