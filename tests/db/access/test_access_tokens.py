"""Who somebody is: tokens, and what ends them."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from milo_billing.access import operations, routes
from milo_billing.access.operations import EXPIRATION_DEFAULT_S, TokenAuthorizer, expiration, hash_token
from milo_billing.access.types import BadExpiration, InvalidToken
from milo_billing.controlplane.edge import build_application
from tests.db.access.ground import IAM, START, Ground, binding, organization, role, service_account
from tests.serving import client_of, serving

ACME = "organization-acme"
ROBOT = f"{IAM}/namespaces/{ACME}/serviceaccounts/robot"


@pytest.fixture
def web(ground: Ground) -> Iterator[httpx.Client]:
    """The doors of access, asked as the administrator unless a request says otherwise."""
    with (
        serving(build_application(routes.routes(ground.door))) as url,
        client_of(url, token=ground.token) as client,
    ):
        yield client


@pytest.fixture
def acme(ground: Ground) -> None:
    ground.created(organization("acme"))
    ground.created(service_account("robot", namespace=ACME))


def authenticate(ground: Ground, token: str) -> str:
    with ground.transaction(frozenset()) as tx:
        return ground.authorizer.authenticate(tx, token, ground.clock.now()).user


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- the administrator


def test_the_first_start_makes_the_administrators_token_and_later_ones_do_not(ground: Ground):
    assert authenticate(ground, ground.token) == "system:admin"
    with ground.transaction() as tx:
        assert operations.ensure_admin_token(tx, now=START) is None


def test_a_lost_token_is_replaced_and_the_lost_one_ends(ground: Ground):
    with ground.transaction() as tx:
        renewed = operations.ensure_admin_token(tx, now=START, renew=True)
    assert renewed is not None
    assert authenticate(ground, renewed) == "system:admin"
    with pytest.raises(InvalidToken, match="revoked"):
        authenticate(ground, ground.token)


def test_starting_again_changes_nothing(ground: Ground):
    def state() -> list[tuple[object, ...]]:
        with ground.transaction() as tx:
            query = "select uid, resource_version, generation from controlplane.objects order by uid"
            return tx.execute(query).fetchall()

    before = state()
    ground.clock.pass_by(hours=1)
    ground.bootstrap()
    assert state() == before


# -- tokens of service accounts


def test_a_token_identifies_its_service_account(ground: Ground, web: httpx.Client, acme: None):
    answer = web.post(f"/apis/{ROBOT}/token")
    assert answer.status_code == 201, answer.text
    expected = START + timedelta(seconds=EXPIRATION_DEFAULT_S)
    assert answer.json()["expiresAt"] == f"{expected:%Y-%m-%dT%H:%M:%SZ}"
    token = answer.json()["token"]
    assert token.startswith("milo_")
    assert len(token) == len("milo_") + 43  # 256 bits in base64
    with ground.transaction(frozenset()) as tx:
        identity = ground.authorizer.authenticate(tx, token, START)
    assert identity.user == f"system:serviceaccount:{ACME}:robot"
    assert identity.groups == (
        "system:serviceaccounts",
        f"system:serviceaccounts:{ACME}",
        "system:authenticated",
    )


def test_the_token_itself_is_stored_nowhere(ground: Ground, web: httpx.Client, acme: None):
    token: str = web.post(f"/apis/{ROBOT}/token").json()["token"]
    with ground.transaction() as tx:
        stored = tx.execute("select sha256 from access.tokens where service_account is not null").fetchall()
        audit = tx.execute("select string_agg(detail::text, '') from access.audit_records").fetchone()
    assert stored == [(hash_token(token),)]
    assert audit is not None
    assert token.removeprefix("milo_") not in audit[0]


def test_making_a_token_is_audited(ground: Ground, web: httpx.Client, acme: None):
    answer = web.post(f"/apis/{ROBOT}/token", json={"expirationSeconds": 3600})
    assert answer.json()["expiresAt"] == "2026-10-01T01:00:00Z"
    record = web.get("/v1/audit/records").json()["items"][-1]
    assert (record["verb"], record["actor"]) == ("createToken", "system:admin")
    assert record["target"] == f"iam.miloapis.com/serviceaccounts/{ACME}/robot"
    assert record["detail"] == {"expiresAt": "2026-10-01T01:00:00Z"}
    assert record["auditId"] == answer.headers["Audit-Id"]


def test_an_expired_token_is_nobodys(ground: Ground, web: httpx.Client, acme: None):
    token = web.post(f"/apis/{ROBOT}/token", json={"expirationSeconds": 60}).json()["token"]
    ground.clock.pass_by(seconds=59)
    assert authenticate(ground, token).endswith(":robot")
    ground.clock.pass_by(seconds=1)
    with pytest.raises(InvalidToken, match="expired"):
        authenticate(ground, token)


def test_revoking_ends_every_token_of_the_account_at_once(ground: Ground, web: httpx.Client, acme: None):
    tokens = [web.post(f"/apis/{ROBOT}/token").json()["token"] for _ in range(2)]
    for token in tokens:
        assert authenticate(ground, token)
    assert web.delete(f"/apis/{ROBOT}/token").json() == {"revoked": 2}
    for token in tokens:
        with pytest.raises(InvalidToken, match="revoked"):
            authenticate(ground, token)
    assert web.delete(f"/apis/{ROBOT}/token").json() == {"revoked": 0}


def test_deleting_the_account_ends_its_tokens_and_its_name_inherits_nothing(ground: Ground, acme: None):
    ground.send("DELETE", ROBOT)
    token = ground.log_in(organization="acme", role="viewer")
    assert ground.send("GET", ROBOT, token=token).code == 200
    assert ground.send("DELETE", ROBOT).code == 200
    assert ground.send("GET", ROBOT, token=token).code == 401
    # another account takes the name; the binding still names it, but meant the one before
    ground.created(service_account("robot", namespace=ACME))
    with ground.transaction() as tx:
        uid, number = tx.execute(
            "select uid, owner_org from controlplane.objects where resource = 'serviceaccounts'"
        ).fetchall()[0]
        second = operations.issue_token(
            tx,
            namespace=ACME,
            name="robot",
            service_account=UUID(str(uid)),
            owner_org=number,
            expires_at=None,
            now=START,
        )
    assert ground.send("GET", ROBOT, token=second).code == 403


@pytest.mark.parametrize("token", ["milo_unknown", "x", "ü\udcff", "milo_" + "A" * 43])
def test_an_unknown_token_is_nobodys(ground: Ground, token: str):
    with pytest.raises(InvalidToken, match="not known"):
        authenticate(ground, token)


def test_the_door_for_tokens_asks_for_its_own_permission(ground: Ground, web: httpx.Client, acme: None):
    viewer = ground.log_in(organization="acme", role="viewer", name="reader")
    answer = web.post(f"/apis/{ROBOT}/token", headers=bearer(viewer))
    assert answer.status_code == 403
    assert "serviceaccounts.createToken" in answer.json()["message"]


def test_nobody_makes_tokens_for_accounts_of_another_organization(
    ground: Ground, web: httpx.Client, acme: None
):
    ground.created(organization("beta"))
    admin_of_beta = ground.log_in(organization="beta", role="admin")
    answer = web.post(f"/apis/{ROBOT}/token", headers=bearer(admin_of_beta))
    assert answer.status_code == 404


def test_nobody_makes_a_token_that_may_more_than_they(ground: Ground, web: httpx.Client, acme: None):
    admin_of_acme = ground.log_in(organization="acme", role="admin", name="boss")
    assert web.post(f"/apis/{ROBOT}/token", headers=bearer(admin_of_acme)).status_code == 201
    robot = {"kind": "ServiceAccount", "name": "robot", "namespace": ACME}
    ground.created(binding("robot-everywhere", role="viewer", subjects=[robot]))
    answer = web.post(f"/apis/{ROBOT}/token", headers=bearer(admin_of_acme))
    assert answer.status_code == 403
    assert "may do what User" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"expirationSeconds": "60"}', b'{"expirationSeconds": true}', b'{"audience": "x"}']
    + [b'{"expirationSeconds": %d}' % seconds for seconds in (0, 59, 3650 * 86_400 + 1)],
)
def test_a_malformed_request_for_a_token_says_what_it_should_be(web: httpx.Client, acme: None, body: bytes):
    answer = web.post(f"/apis/{ROBOT}/token", content=body)
    assert answer.status_code == 400
    assert "expirationSeconds" in answer.json()["message"]


def test_a_body_over_the_limit_is_refused(web: httpx.Client, acme: None):
    assert web.post(f"/apis/{ROBOT}/token", content=b" " * 5000).status_code == 413


def test_an_account_that_does_not_exist_has_no_tokens(web: httpx.Client, acme: None):
    assert web.post(f"/apis/{ROBOT}x/token").status_code == 404
    assert web.delete(f"/apis/{ROBOT}x/token").status_code == 404


def test_expiration_bounds():
    assert expiration(now=START, seconds=60) == START + timedelta(seconds=60)
    with pytest.raises(BadExpiration):
        expiration(now=START, seconds=60.5)


# -- what the authorizer remembers


def test_another_process_learns_of_a_revocation_with_the_next_request(ground: Ground, acme: None):
    elsewhere = TokenAuthorizer(monotonic=lambda: 0.0)
    token = ground.log_in(organization="acme", role="viewer", name="reader")
    with ground.transaction(frozenset()) as tx:
        identity = elsewhere.authenticate(tx, token, START)
        assert elsewhere.reach(tx, identity, "iam.miloapis.com/serviceaccounts.get")
    assert ground.send("DELETE", f"{IAM}/policybindings/acme-reader").code == 200
    with ground.transaction(frozenset()) as tx:
        identity = elsewhere.authenticate(tx, token, START)
        assert elsewhere.reach(tx, identity, "iam.miloapis.com/serviceaccounts.get") == frozenset()


def test_without_tokens_grants_are_at_most_a_second_old(ground: Ground, acme: None):
    seconds = [0.0]
    elsewhere = TokenAuthorizer(monotonic=lambda: seconds[0])
    ground.created(role("reader", "*.get"))
    ground.created(
        binding("ann", role="reader", subjects=[{"kind": "User", "name": "ann"}], organization="acme")
    )
    with ground.transaction(frozenset()) as tx:
        ann = operations.Identity(user="ann")
        assert elsewhere.reach(tx, ann, "iam.miloapis.com/roles.get")
        ground.send("DELETE", f"{IAM}/policybindings/ann")
        seconds[0] = 1.1
        assert elsewhere.reach(tx, ann, "iam.miloapis.com/roles.get") == frozenset()
