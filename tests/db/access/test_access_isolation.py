"""Isolation underneath the doors: what row-level security lets a transaction see, table by table.

The tables come from the catalog: a new one without a policy fails here, unless it is listed with a reason.
"""

from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from milo_billing.infra.database import Reach, Tx, reach_text
from tests.db.access.ground import IAM, Ground, project

SHARED: dict[str, str] = {
    "infra.migrations": "about the database itself",
    "infra.heartbeats": "about processes",
    "infra.subject_keys": "keysets wrapped by a key that is not in the database; a subject belongs to nobody",
    "controlplane.versions": "counters",
    "controlplane.holds": "uids of objects, whose rows have a policy, and reasons without names",
    "access.roles": "the provider's, for everybody to read",
    "ledger.closings": "the provider's own legal entities, and months",
    "catalog.meters": "the provider's, for everybody to read",
    "invoicing.tax_rates": "the law, for everybody to read",
    "catalog.resource_types": "the provider's, for everybody to read",
    "catalog.skus": "the provider's, for everybody to read",
    "accounts.billed": "numbers of accounts, whose rows have a policy, and instants",
    "entitlements.offers": "the provider's, for everybody to read",
    "usage.days": "which partitions there are",
    "usage.archives": "which files there are, with counts of the whole platform; only staff have a door to it",
    "usage.dimension_sets": "contents by hash, without a customer; the rows that point here have a policy",
    "usage.resources": "contents by hash, without a customer; the rows that point here have a policy",
    "pricing.exchange_rates": "published by others, the same for everybody",
    "invoicing.issuers": "the provider's own legal entities",
    "invoicing.issuer_versions": "the provider's own legal entities",
    "invoicing.number_series": "the provider's own numbering",
}
"""Tables that a door reads or writes, that nobody owns a row of, and why."""

TABLES = """
    select n.nspname || '.' || c.relname as name, c.oid, c.relrowsecurity as secured, c.relispartition as part,
           exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'owner_org'
                   and not a.attisdropped) as owned
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'jobs')
      and exists (select from unnest(array['milo_app', 'milo_job']) as door
                  where has_table_privilege(door, c.oid, 'select, insert, update, delete')
                     or has_any_column_privilege(door, c.oid, 'select, insert, update'))
    order by 1
"""


@dataclass(frozen=True)
class Table:
    """A table that the doors' roles can touch."""

    name: str
    oid: int
    secured: bool
    part: bool
    owned: bool


def list_tables(tx: Tx) -> list[Table]:
    return [Table(*row) for row in tx.execute(TABLES).fetchall()]


def test_every_table_of_the_doors_has_a_policy_or_a_reason(owner_tx: Tx):
    tables = list_tables(owner_tx)
    assert len(tables) > 20, "the catalog was not read"
    bare = {table.name for table in tables if not table.secured}
    owned = {table.name for table in tables if table.owned}
    assert bare & owned == set()
    assert bare - owned <= set(SHARED), "give the table a policy, or say in SHARED why nobody owns its rows"


def test_a_new_table_without_a_policy_would_be_noticed(owner_tx: Tx):
    owner_tx.execute("create table accounts.invented (owner_org bigint, note text)")
    owner_tx.execute("grant select (note) on accounts.invented to milo_job")
    (found,) = [table for table in list_tables(owner_tx) if table.name == "accounts.invented"]
    assert (found.owned, found.secured) == (True, False)


def test_no_partition_can_be_reached_around_the_policy_of_its_table(owner_tx: Tx):
    assert [table.name for table in list_tables(owner_tx) if table.part] == []


POLICIES = """
    select n.nspname || '.' || c.relname, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid),
           p.polcmd, p.polpermissive
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
    where 'milo_app'::regrole = any (p.polroles)
"""

SEEN = (
    ("7", True),
    ("6,7,8", True),
    ("*", True),
    ("8", False),
    ("77", False),
    ("", False),
)
"""Reaches, and whether they see the row of organization 7."""


@pytest.mark.parametrize(("reach", "seen"), SEEN)
def test_every_policy_on_an_owner_lets_through_who_reaches_that_owner(owner_tx: Tx, reach: str, seen: bool):
    owned = {table.name for table in list_tables(owner_tx) if table.owned and table.secured}
    policies = [policy for policy in owner_tx.execute(POLICIES).fetchall() if policy[0] in owned]
    assert {policy[0] for policy in policies} == owned, "row-level security without a policy hides every row"
    owner_tx.execute("select set_config('milo.reach', %s, true)", (reach,))
    for name, reading, writing, _, permissive in policies:
        assert permissive, name
        for expression in filter(None, (reading, writing)):
            answer = owner_tx.execute(
                sql.SQL(
                    "select {} from (select 7::bigint as owner_org, false as readable_by_all) as row"
                ).format(sql.SQL(expression))
            ).fetchone()
            assert answer == (seen,), f"{name}: {expression}"


def test_a_connection_that_never_set_a_reach_sees_nothing(owner_tx: Tx):
    owner_tx.execute("reset milo.reach")
    assert owner_tx.execute("select controlplane.reaches_all(), controlplane.reach()").fetchone() in (
        (False, []),
        (False, None),
    )


# -- the same with rows


def fill(ground: Ground, organization: str) -> str:
    """Something of everything that directory and access store; a token of the organization's administrator."""
    ground.created(project(f"{organization}-web", organization=organization))
    return ground.log_in(organization=organization, role="admin")


def count_foreign(tx: Tx, table: Table, owner: int) -> int:
    """How many rows of others the transaction sees, but for the provider's, which everybody may read."""
    schema, name = table.name.split(".")
    public = sql.SQL("and owner_org <> 0" if table.name != "access.bindings" else "")
    query = sql.SQL("select count(*) from {} where owner_org <> %s {}").format(
        sql.Identifier(schema, name), public
    )
    row = tx.execute(query, (owner,)).fetchone()
    assert row is not None
    return row[0]


def test_one_organization_sees_no_row_of_another(
    ground: Ground, two_organizations: tuple[int, int], superuser_tx: Tx
):
    for name in ("acme", "beta"):
        fill(ground, name)
    tables = [table for table in list_tables(superuser_tx) if table.owned and table.secured]
    filled: set[str] = set()
    for mine, other in (two_organizations, two_organizations[::-1]):
        with ground.transaction(frozenset({mine})) as tx:
            for table in tables:
                assert count_foreign(tx, table, mine) == 0, f"{table.name} shows rows of others"
        filled |= {table.name for table in tables if count_foreign(superuser_tx, table, mine) > 0}
        assert other != mine
    assert filled >= {"controlplane.objects", "directory.projects", "access.tokens", "access.bindings"}


def test_the_directory_and_the_chains_are_isolated_too(ground: Ground, two_organizations: tuple[int, int]):
    acme, _ = two_organizations
    with ground.transaction(frozenset({acme})) as tx:
        assert tx.execute("select number from directory.organizations").fetchall() == [(acme,)]
        assert tx.execute("select distinct chain from access.audit_records").fetchall() == [(acme,)]
        assert tx.execute("select chain from access.audit_heads").fetchall() == [(acme,)]


@pytest.mark.parametrize(
    "statement",
    [
        "update access.tokens set revoked_at = created_at where owner_org = {beta}",
        "delete from access.bindings where owner_org = {beta}",
        "update directory.projects set name = 'mine' where owner_org = {beta}",
        "update directory.organizations set name = 'mine' where number = {beta}",
        "delete from controlplane.objects where owner_org = {beta}",
    ],
)
def test_one_organization_changes_no_row_of_another(
    ground: Ground, two_organizations: tuple[int, int], statement: str
):
    acme, beta = two_organizations
    fill(ground, "beta")
    with ground.transaction(frozenset({acme})) as tx:
        assert tx.execute(statement.format(beta=beta).encode()).rowcount == 0


@pytest.mark.parametrize(
    "statement",
    [
        "insert into access.tokens (sha256, subject, owner_org, created_at) "
        "values (sha256('x'), 'ann', {owner}, now())",
        "insert into access.bindings (uid, subject, role, owner_org) "
        "select gen_random_uuid(), 'ann', uid, {owner} from access.roles where name = 'admin'",
        "insert into directory.projects (uid, name, owner_org, created_at) "
        "values (gen_random_uuid(), 'mine', {owner}, now())",
    ],
)
def test_one_organization_writes_no_row_for_another_or_for_everywhere(
    ground: Ground, two_organizations: tuple[int, int], statement: str
):
    acme, beta = two_organizations
    reach: Reach = frozenset({acme})
    for owner in (beta, 0):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), ground.transaction(reach) as tx:
            tx.execute(statement.format(owner=owner).encode())


def test_who_asks_for_grants_learns_nothing_but_their_own(ground: Ground, two_organizations: tuple[int, int]):
    fill(ground, "beta")
    with ground.transaction(frozenset()) as tx:
        assert tx.execute("select count(*) from access.tokens").fetchone() == (0,)
        assert tx.execute("select count(*) from access.bindings").fetchone() == (0,)
        assert (
            tx.execute("select * from access.find_grants('system:serviceaccount:%', null)").fetchall() == []
        )


def test_lists_over_the_api_are_isolated(ground: Ground, two_organizations: tuple[int, int]):
    tokens = {name: fill(ground, name) for name in ("acme", "beta")}
    for name, token in tokens.items():
        for resource in ("serviceaccounts", "policybindings"):
            listed = ground.send("GET", f"{IAM}/{resource}", token=token)
            names = {
                item["metadata"].get("namespace", item["metadata"]["name"]) for item in listed.body["items"]
            }
            assert names
            assert all(name in found for found in names)


def test_a_reach_is_written_for_postgres_as_it_is_read():
    assert reach_text(frozenset({8, 7})) == "7,8"
    assert reach_text(frozenset()) == ""
