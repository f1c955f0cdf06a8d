"""Values and errors of access: grants, tokens, audit records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from milo_billing.kernel.errors import BadRequest, Forbidden, NotFound, Unauthenticated

GROUP: Final = "iam.miloapis.com"

ADMIN_ROLE: Final = "admin"
VIEWER_ROLE: Final = "viewer"
ADMIN_USER: Final = "system:admin"
ADMIN_BINDING: Final = "system-admin"
BUILT_IN: Final = frozenset({ADMIN_ROLE, VIEWER_ROLE, ADMIN_BINDING})
"""Roles and the binding that every start makes as this version wants them; nobody else writes them."""

SUPERUSERS: Final = "system:masters"
"""Whoever is in this group may do everything, as in Kubernetes. No token puts anybody in it: only the server itself."""

EVERYWHERE_ORG: Final = 0
"""What a grant that selects everything has in place of an organization's number."""

TOKEN_PREFIX: Final = "milo_"
TOKEN_BITS: Final = 256

Organizations: TypeAlias = frozenset[int] | Literal["*"]
"""Numbers of organizations; "*" is all of them. The same as infra.database.Reach, which types must not import."""


class InvalidToken(Unauthenticated):
    """The bearer token is unknown, expired or revoked."""


class Escalation(Forbidden):
    """Somebody would give away more than they hold."""


class BadExpiration(BadRequest):
    """`expirationSeconds` is no whole number within its bounds."""


class ChainNotFound(NotFound):
    """No audit chain within reach has this number."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions in one organization, or everywhere (`EVERYWHERE_ORG`). They may hold wildcards."""

    owner_org: int
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """What is stored of a token: never the token."""

    subject: str
    service_account: UUID | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of a chain. Personal fields in `detail` are ciphertext."""

    chain: int
    sequence: int
    at: datetime
    audit_id: UUID
    actor: str
    verb: str
    target: str
    target_uid: UUID | None
    resource_version: int | None
    detail: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What verification found in one chain.

    `first_broken` is the sequence of the first record that does not stand as it was written, `problem` what is wrong
    with it. `head` is the last hash in hex: kept elsewhere, it also shows a chain that was rewritten as a whole.
    """

    chain: int
    records: int
    ok: bool
    first_broken: int | None
    problem: str | None
    head: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader of the audit records stands: behind this record."""

    chain: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.chain}.{self.sequence}"


def service_account_subject(*, namespace: str, name: str) -> str:
    """The user name of a service account, as Kubernetes writes it."""
    return f"system:serviceaccount:{namespace}:{name}"
