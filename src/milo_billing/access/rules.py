"""Which permission covers which, and what somebody may give away. Pure."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from milo_billing.access.types import EVERYWHERE_ORG, ChainReport, Grant, Organizations, Position

PERMISSION: Final = re.compile(
    r"\*"  # everything
    r"|\*\.[a-z][A-Za-z]*"  # one verb on everything
    r"|[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z]+\.(\*|[a-z][A-Za-z]*)",  # one resource, all verbs or one
    re.ASCII,
)
"""Use with fullmatch."""


def covering(permission: str) -> tuple[str, ...]:
    """Every way to write a permission that includes this one, itself among them.

    `billing.miloapis.com/invoices.get` is included in `*`, in `*.get` and in `billing.miloapis.com/invoices.*`. A
    wildcard is included in itself and in wider ones: `*.get` in `*`, `group/resource.*` in `*`.
    """
    if permission == "*":
        return ("*",)
    resource, _, verb = permission.rpartition(".")
    if resource == "*":
        return ("*", permission)
    wider = ["*", f"{resource}.*"]
    if verb != "*":
        wider += [f"*.{verb}", permission]
    return tuple(wider)


def holds(held: Collection[str], permission: str) -> bool:
    """Whether the permissions held include this one."""
    return any(wider in held for wider in covering(permission))


def reach(grants: Iterable[Grant], permission: str) -> Organizations:
    """The organizations in which the grants include the permission; "*" for everywhere."""
    organizations: set[int] = set()
    for grant in grants:
        if holds(grant.permissions, permission):
            if grant.owner_org == EVERYWHERE_ORG:
                return "*"
            organizations.add(grant.owner_org)
    return frozenset(organizations)


def within(organizations: Organizations, owner_org: int) -> bool:
    """Whether this organization is among them; `EVERYWHERE_ORG` asks for all of them."""
    return organizations == "*" or (owner_org != EVERYWHERE_ORG and owner_org in organizations)


def parse_position(text: str) -> Position | None:
    """The position that `str` of one gives back; None if it is none."""
    match = re.fullmatch(r"(\d{1,18})\.(\d{1,18})", text, re.ASCII)
    return None if match is None else Position(int(match[1]), int(match[2]))


def report_chain(
    *,
    chain: int,
    records: int,
    missing: int | None,
    changed: int | None,
    unlinked: int | None,
    last_hash: bytes | None,
    head: tuple[int, bytes] | None,
) -> ChainReport:
    """What the findings of one pass over a chain mean: the first thing that is wrong with it, if anything is.

    `head` is the sequence and the hash that the chain's head has; None where it has no head.
    """
    found: list[tuple[int, str]] = []
    if missing is not None:
        found.append((missing, "the record is missing"))
    if changed is not None:
        found.append((changed, "the record was changed"))
    if unlinked is not None:
        found.append((unlinked, "the record does not follow from the one before it"))
    if head is None:
        found.append((records + 1, "the head of the chain is missing"))
    elif missing is None and head[0] > records:
        found.append((records + 1, f"the end of the chain was cut off: it had {head[0]} records"))
    elif missing is None and (head[0] < records or (records and head[1] != last_hash)):
        found.append((max(records, 1), "the head of the chain is not that of its last record"))
    first_broken, problem = min(found, default=(None, None), key=lambda item: item[0] or 0)
    return ChainReport(
        chain=chain,
        records=records,
        ok=not found,
        first_broken=first_broken,
        problem=problem,
        head=None if head is None else head[1].hex(),
    )
