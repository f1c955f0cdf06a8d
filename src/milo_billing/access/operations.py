"""Verbs of access: who is it, where may they, tokens, audit."""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from milo_billing.access import reads, rules, store
from milo_billing.access.types import (
    ADMIN_USER,
    EVERYWHERE_ORG,
    SUPERUSERS,
    TOKEN_BITS,
    TOKEN_PREFIX,
    AuditRecord,
    BadExpiration,
    ChainNotFound,
    ChainReport,
    Escalation,
    Grant,
    InvalidToken,
    Position,
    TokenEntry,
    service_account_subject,
)
from milo_billing.controlplane.doors import set_reach
from milo_billing.controlplane.identity import ANONYMOUS, EVERYWHERE, Authorizer, Identity, Reach
from milo_billing.controlplane.impersonation import PERMISSION as IMPERSONATE
from milo_billing.controlplane.impersonation import not_allowed
from milo_billing.directory import reads as directory
from milo_billing.infra.clock import monotonic_s, random_bits
from milo_billing.infra.database import Tx

EXPIRATION_DEFAULT_S: Final = 90 * 86_400
EXPIRATION_MIN_S: Final = 60
EXPIRATION_MAX_S: Final = 3650 * 86_400
"""How long the token of a service account lives, in seconds."""

REMEMBERED_MAX: Final = 10_000
"""How many tokens and how many identities one authorizer remembers."""

RECHECK_S: Final = 1.0
"""After so many seconds `reach` asks whether grants changed, if no `authenticate` has asked since."""

AUDIT_RECORDS_MAX: Final = 500
"""A page of audit records."""

_PAGE = 1_000
_SERVICE_ACCOUNT = "system:serviceaccount:"

SYSTEM: Final = Identity(user="system:milo-billing", groups=(SUPERUSERS, "system:authenticated"))
"""The service itself, when it writes what nobody asked for: its built-in roles, for example."""

V = TypeVar("V")


# -- who is it, and where may they


class _Remembered(Generic[V]):
    """A bounded memory of answers, each good only for the version of access it was read under. Thread-safe."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, tuple[int, V]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any, *, version: int) -> V | None:
        with self._lock:
            found = self._entries.get(key)
            if found is None or found[0] != version:
                return None
            self._entries.move_to_end(key)
            return found[1]

    def put(self, key: Any, value: V, *, version: int) -> None:
        with self._lock:
            self._entries[key] = (version, value)
            self._entries.move_to_end(key)
            while len(self._entries) > REMEMBERED_MAX:
                self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _KnownToken:
    identity: Identity
    expires_at: datetime | None


class TokenAuthorizer(Authorizer):
    """The control plane's `Authorizer`: hashed bearer tokens, and permissions from policy bindings. One a process.

    It remembers answers, but `authenticate` compares a version in the caller's transaction first (one indexed row),
    so that a revocation or another grant counts from the moment it is committed. Deny by default.
    """

    def __init__(self, *, monotonic: Callable[[], float] = monotonic_s) -> None:
        self._monotonic = monotonic
        self._version = 0
        self._checked_at_s = float("-inf")
        self._tokens: _Remembered[_KnownToken] = _Remembered()
        self._grants: _Remembered[tuple[Grant, ...]] = _Remembered()

    def authenticate(self, tx: Tx, token: str, now: datetime) -> Identity:
        """The identity behind a bearer token. Raises InvalidToken if it is unknown, revoked or expired."""
        version = self._check_version(tx)
        sha256 = hash_token(token)
        known = self._tokens.get(sha256, version=version)
        if known is None:
            known = _known(reads.find_token(tx, sha256=sha256))
            self._tokens.put(sha256, known, version=version)
        if known.expires_at is not None and known.expires_at <= now:
            raise InvalidToken(f"the token expired at {known.expires_at:%Y-%m-%dT%H:%M:%SZ}: make a new one")
        return known.identity

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        """The organizations in which the identity holds the permission; EVERYWHERE for all, empty for none."""
        if SUPERUSERS in identity.groups:
            return EVERYWHERE
        return rules.reach(self.list_grants(tx, identity), permission)

    def check_impersonation(self, tx: Tx, identity: Identity, wanted: Identity) -> Identity:
        """`wanted` as it acts from now on; a service account is the one that has the name now.

        Raises Forbidden unless `identity` may impersonate everywhere. Users that are the server's own are for those
        who may do everything anyway, and nobody gets into its group.
        """
        account = _service_account_name(wanted.user)
        refused = partial(not_allowed, identity, resource="users", name=wanted.user)
        if account is not None:
            namespace, name = account
            refused = partial(
                not_allowed, identity, resource="serviceaccounts", name=name, namespace=namespace
            )
        if self.reach(tx, identity, IMPERSONATE) != EVERYWHERE:
            raise refused()
        if SUPERUSERS in wanted.groups:
            raise not_allowed(
                identity, resource="groups", name=SUPERUSERS, why="only the server itself is in it"
            )
        if account is not None:
            return _as_it_stands(tx, wanted, *account, by=identity)
        server_own = wanted.user.startswith("system:") and wanted.user != ANONYMOUS.user
        if server_own and self.reach(tx, identity, "*") != EVERYWHERE:
            raise refused(why="names that begin with system: are the server's own")
        return wanted

    def list_permissions(self, tx: Tx, identity: Identity, org: int | None) -> frozenset[str]:
        """What the identity holds in the organization and everywhere; only everywhere without an organization."""
        if SUPERUSERS in identity.groups:
            return frozenset({"*"})
        grants = self.list_grants(tx, identity)
        return frozenset[str]().union(
            *(grant.permissions for grant in grants if grant.owner_org in (EVERYWHERE_ORG, org))
        )

    def list_grants(self, tx: Tx, identity: Identity) -> tuple[Grant, ...]:
        """Everything that policy bindings grant to the identity."""
        if self._monotonic() - self._checked_at_s > RECHECK_S:
            self._check_version(tx)
        # read before the grants are: a change in between leaves them under a version that nobody asks for any more
        version = self._version
        key = (identity.user, identity.uid)
        known = self._grants.get(key, version=version)
        if known is None:
            known = reads.list_grants(
                tx, subject=identity.user, service_account=_service_account_of(identity)
            )
            self._grants.put(key, known, version=version)
        return known

    def _check_version(self, tx: Tx) -> int:
        started_at_s = self._monotonic()
        version = reads.get_access_version(tx)
        self._version = max(self._version, version)
        self._checked_at_s = max(self._checked_at_s, started_at_s)
        return version


def _known(entry: TokenEntry | None) -> _KnownToken:
    if entry is None:
        raise InvalidToken("the bearer token is not known here")
    if entry.revoked_at is not None:
        raise InvalidToken("the bearer token was revoked")
    groups: tuple[str, ...] = ("system:authenticated",)
    uid = ""
    if entry.service_account is not None:
        namespace = entry.subject.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", *groups)
        uid = str(entry.service_account)
    return _KnownToken(Identity(user=entry.subject, groups=groups, uid=uid), entry.expires_at)


def _service_account_of(identity: Identity) -> UUID | None:
    """Grants to a service account are to the one with this uid; a user's uid plays no part."""
    return UUID(identity.uid) if identity.user.startswith(_SERVICE_ACCOUNT) and identity.uid else None


def _service_account_name(user: str) -> tuple[str, str] | None:
    """The namespace and the name of a service account; None for any other user."""
    if not user.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return namespace, name


def _as_it_stands(tx: Tx, wanted: Identity, namespace: str, name: str, *, by: Identity) -> Identity:
    """A service account with the uid that it has; without one, and so without grants, where there is none.

    Raises Forbidden where another uid was asked for: an earlier account of that name.
    """
    set_reach(tx, EVERYWHERE)  # whoever may impersonate may do so in every organization
    found = reads.find_service_account(tx, namespace=namespace, name=name)
    set_reach(tx, frozenset())
    uid = "" if found is None else str(found.uid)
    if wanted.uid not in ("", uid):
        raise not_allowed(
            by,
            resource="uids",
            group="authentication.k8s.io",
            name=wanted.uid,
            why="it is not that of this service account",
        )
    return replace(wanted, uid=uid)


def list_not_held(
    tx: Tx, *, authorizer: Authorizer, identity: Identity, permissions: Iterable[str], owner_org: int
) -> tuple[str, ...]:
    """Those of the permissions that the identity lacks in this organization, sorted.

    `EVERYWHERE_ORG` asks for everywhere. Whoever gives permissions away must hold them: nobody makes himself more.
    """
    return tuple(
        sorted(
            permission
            for permission in set(permissions)
            if not rules.within(authorizer.reach(tx, identity, permission), owner_org)
        )
    )


# -- tokens


def hash_token(token: str) -> bytes:
    """What is stored of a token. It is 256 random bits, so that a plain hash cannot be guessed from."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def expiration(*, now: datetime, seconds: Any) -> datetime:
    """The instant at which a token expires; `seconds` as the client sent it, None for the default.

    Raises BadExpiration outside EXPIRATION_MIN_S..EXPIRATION_MAX_S.
    """
    if seconds is None:
        seconds = EXPIRATION_DEFAULT_S
    whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if not whole or not EXPIRATION_MIN_S <= seconds <= EXPIRATION_MAX_S:
        raise BadExpiration(
            f"expirationSeconds must be a whole number from {EXPIRATION_MIN_S} to {EXPIRATION_MAX_S} (ten years); "
            f"without it a token lives {EXPIRATION_DEFAULT_S // 86_400} days"
        )
    return now + timedelta(seconds=seconds)


def issue_token(
    tx: Tx,
    *,
    namespace: str,
    name: str,
    service_account: UUID,
    owner_org: int,
    expires_at: datetime | None,
    now: datetime,
) -> str:
    """A new bearer token of a service account. This is the only time that anybody sees it."""
    token = _new_token()
    store.insert_token(
        tx,
        sha256=hash_token(token),
        subject=service_account_subject(namespace=namespace, name=name),
        service_account=service_account,
        owner_org=owner_org,
        created_at=now,
        expires_at=expires_at,
    )
    return token


def revoke_tokens(tx: Tx, *, service_account: UUID, now: datetime) -> int:
    """End every token of the service account; how many there were."""
    revoked = store.revoke_tokens_of_service_account(tx, service_account=service_account, at=now)
    if revoked:
        store.bump_access_version(tx)
    return revoked


def check_token_grants_nothing_more(
    tx: Tx, *, authorizer: Authorizer, identity: Identity, namespace: str, name: str, service_account: UUID
) -> None:
    """Raise Escalation if the service account may do what `identity` may not: a token would give it to them."""
    grants = reads.list_grants(
        tx,
        subject=service_account_subject(namespace=namespace, name=name),
        service_account=service_account,
    )
    for grant in grants:
        lacking = list_not_held(
            tx,
            authorizer=authorizer,
            identity=identity,
            permissions=grant.permissions,
            owner_org=grant.owner_org,
        )
        if lacking:
            raise Escalation(
                f'serviceaccounts "{name}" may do what User "{identity.user}" may not ({lacking[0]}): '
                "somebody who holds these permissions must make its tokens"
            )


def ensure_admin_token(tx: Tx, *, now: datetime, renew: bool = False) -> str | None:
    """A token of the user `system:admin`, once: None if there is one already. It does not expire.

    `renew` ends the earlier ones and makes another, for when the kubeconfig that held it is lost.
    """
    if reads.has_living_token(tx, user=ADMIN_USER):
        if not renew:
            return None
        store.revoke_tokens_of_user(tx, user=ADMIN_USER, at=now)
        store.bump_access_version(tx)
    token = _new_token()
    store.insert_token(
        tx,
        sha256=hash_token(token),
        subject=ADMIN_USER,
        service_account=None,
        owner_org=EVERYWHERE_ORG,
        created_at=now,
        expires_at=None,
    )
    return token


def _new_token() -> str:
    bits = random_bits(TOKEN_BITS).to_bytes(TOKEN_BITS // 8)
    return TOKEN_PREFIX + base64.urlsafe_b64encode(bits).rstrip(b"=").decode()


# -- audit


def record(
    tx: Tx,
    *,
    chain: int,
    at: datetime,
    audit_id: UUID,
    actor: str,
    verb: str,
    target: str,
    detail: dict[str, Any],
    target_uid: UUID | None = None,
) -> None:
    """Append to the audit chain of an organization (its number; 0 for the platform) what is no write of an object.

    Writes of objects are recorded by seal. `target` is group/resource/namespace/name. `detail` must hold no
    secret and personal data only as ciphertext. The chain stays locked until the transaction ends: call it last.
    """
    store.append_audit(
        tx,
        chain=chain,
        at=at,
        audit_id=audit_id,
        actor=actor,
        verb=verb,
        target=target,
        target_uid=target_uid,
        detail=detail,
    )


def list_records(tx: Tx, *, after: Position | None, limit: int) -> tuple[AuditRecord, ...]:
    """A page of audit records within reach, at most AUDIT_RECORDS_MAX, chain after chain."""
    return reads.list_audit_records(tx, after=after, limit=min(limit, AUDIT_RECORDS_MAX))


def verify(tx: Tx, *, chain: int | None = None) -> tuple[ChainReport, ...]:
    """Recompute every hash of the chains within reach, or of one, and report each chain.

    Finds changed, missing, reordered and cut-off records, and organizations whose whole chain has gone. Who may
    write the tables as their owner can also rewrite a whole chain: against that, keep the `head` of each report
    somewhere else. Raises ChainNotFound.
    """
    chains = sorted({*reads.list_chains(tx), *_organizations(tx)})
    if chain is not None:
        if chain not in chains:
            raise ChainNotFound(f"there is no audit chain {chain}: it is 0 or the number of an organization")
        chains = [chain]
    return tuple(_verify_chain(tx, number) for number in chains)


def _verify_chain(tx: Tx, chain: int) -> ChainReport:
    found = reads.inspect_chain(tx, chain=chain)
    head = (
        None
        if found.head_sequence is None or found.head_hash is None
        else (found.head_sequence, found.head_hash)
    )
    return rules.report_chain(
        chain=chain,
        records=found.records,
        missing=found.missing,
        changed=found.changed,
        unlinked=found.unlinked,
        last_hash=found.last_hash,
        head=head,
    )


def _organizations(tx: Tx) -> list[int]:
    """Every organization has a chain from the record of its creation on."""
    numbers: list[int] = []
    while page := directory.list_organizations(tx, after=numbers[-1] if numbers else 0, limit=_PAGE):
        numbers += (organization.number for organization in page)
    return numbers
