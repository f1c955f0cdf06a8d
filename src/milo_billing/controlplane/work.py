"""One write in progress: its transaction, who does it, and what it has changed so far."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from milo_billing.controlplane.identity import Identity, Reach
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.rows import Row
from milo_billing.infra.database import Tx


@dataclass(slots=True)
class Change:
    """One object written in this transaction, as seal will record it; `verb` None for a mere consequence."""

    kind: AnyKind
    row: Row
    change: Literal["ADDED", "MODIFIED", "DELETED"]
    old_labels: dict[str, str] | None
    old_fields: dict[str, str] | None
    verb: str | None
    detail: Json


@dataclass(slots=True)
class Work:
    """One write in progress: its transaction, who does it and when, and what it has changed so far."""

    tx: Tx
    identity: Identity
    reach: Reach
    audit_id: UUID
    now: datetime
    field_manager: str = ""
    """Who the fields written belong to; empty for writes of the server itself, which own none."""
    changes: list[Change] = field(default_factory=list[Change])
    owners: dict[str, int] = field(default_factory=dict[str, int])
    """Who owns the namespaces that this transaction holds already."""
    late: dict[UUID, AnyKind] | None = None
    """What is to be settled once for many objects (`Kind.settles_late`); None settles with each object."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What the client believes of the object; empty strings believe nothing."""

    uid: str = ""
    resource_version: str = ""
