"""Who may read the books, and who may close them: organizations read what is theirs, the provider's staff closes."""

from collections.abc import Iterator

import httpx
import pytest

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.controlplane.identity import Authorizer, Identity
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import Reach, Tx
from milo_billing.ledger.routes import CLOSE, READ, READ_OWED, routes
from tests.db.invoicing.ground import ACME, Ground
from tests.db.ledger.books import DECEMBER, Books
from tests.serving import client_of, serving

HELD: dict[str, dict[str, Reach]] = {
    "viewer": {READ_OWED: frozenset({1})},
    "bookkeeper": {READ: frozenset({1}), CLOSE: frozenset({1})},
    "stranger": {READ: frozenset({2}), READ_OWED: frozenset({2})},
}


class Holding(Authorizer):
    """Everybody holds what HELD says of the name that is their token."""

    def authenticate(self, tx: Tx, token: str, now: object) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return HELD[identity.user].get(permission, frozenset())


@pytest.fixture
def guarded(ground: Ground, books: Books) -> Iterator[httpx.Client]:
    """The doors of the books, for those who hold something."""
    assert books.main.owner_org == 1
    door = Door(ground.databases.app, Holding(), SimulatedClock(DECEMBER))
    with (
        serving(build_application(routes(door, above_the_books()))) as url,
        client_of(f"{url}/v1/ledger") as client,
    ):
        yield client


def code(client: httpx.Client, who: str, path: str) -> int:
    return client.get(path, headers={"Authorization": f"Bearer {who}"}).status_code


def test_the_books_are_not_for_viewers(guarded: httpx.Client) -> None:
    for path in ("trial-balance", "entries", "verify", "export", "chart", "closings"):
        assert [code(guarded, who, path) for who in ("viewer", "bookkeeper")] == [403, 200], path


def test_what_is_owed_is_for_those_who_read_invoices(guarded: httpx.Client) -> None:
    for path in ("aged-receivables", f"accounts/{ACME}/main/statement"):
        assert [code(guarded, who, path) for who in ("viewer", "bookkeeper")] == [200, 403]


def test_another_organization_sees_nothing(guarded: httpx.Client) -> None:
    headers = {"Authorization": "Bearer stranger"}
    for path in ("trial-balance", "entries", "aged-receivables"):
        assert guarded.get(path, headers=headers).json()["items"] == []
    assert guarded.get("export", headers=headers, params={"format": "csv"}).text.count("\n") == 1
    assert guarded.get("verify", headers=headers).json()["ok"]
    assert code(guarded, "stranger", f"accounts/{ACME}/main/statement") == 404


def test_only_the_providers_staff_closes_a_month(guarded: httpx.Client) -> None:
    for path in ("closings", "accruals"):
        answer = guarded.post(
            path,
            headers={"Authorization": "Bearer bookkeeper"},
            json={"entity": "kestrel", "month": "2026-10"},
        )
        assert answer.status_code == 403
        assert "for the provider" in answer.json()["message"]
