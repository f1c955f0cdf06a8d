"""The audit chains: one record a write, and every way to tamper with one is found."""

from collections.abc import Callable

import psycopg
import pytest

from milo_billing.access import operations
from milo_billing.access.types import ChainNotFound, ChainReport, Position
from milo_billing.infra.database import EVERYWHERE, Reach, Tx
from tests.db.access.ground import AUDIT_ID, START, Ground, organization, project

PLATFORM = 0


@pytest.fixture
def acme(ground: Ground) -> int:
    """The chain of an organization with five records, and another organization beside it."""
    ground.created(organization("acme"))
    ground.created(organization("beta"))
    for name in ("one", "two", "three", "four"):
        ground.created(project(name, organization="acme"))
    with ground.transaction() as tx:
        row = tx.execute("select number from directory.organizations where name = 'acme'").fetchone()
    assert row is not None
    return row[0]


def verify(ground: Ground, *, chain: int | None = None, reach: Reach = EVERYWHERE) -> dict[int, ChainReport]:
    with ground.transaction(reach) as tx:
        return {report.chain: report for report in operations.verify(tx, chain=chain)}


def test_every_write_has_one_record_in_the_chain_of_its_owner(ground: Ground, acme: int):
    ground.send("DELETE", "resourcemanager.miloapis.com/v1alpha1/projects/four")
    with ground.transaction() as tx:
        records = [r for r in operations.list_records(tx, after=None, limit=500) if r.chain == acme]
        versions = tx.execute("select max(resource_version) from controlplane.changes").fetchone()
    assert [(r.sequence, r.verb, r.target.rsplit("/", 1)[1]) for r in records] == [
        (1, "create", "acme"),
        (2, "create", "one"),
        (3, "create", "two"),
        (4, "create", "three"),
        (5, "create", "four"),
        (6, "delete", "four"),
    ]
    assert {(r.actor, r.audit_id, r.at) for r in records} == {("system:admin", AUDIT_ID, START)}
    assert versions == (records[-1].resource_version,)


def test_untouched_chains_verify(ground: Ground, acme: int):
    reports = verify(ground)
    assert all(report.ok for report in reports.values())
    assert {chain: report.records for chain, report in reports.items()} == {PLATFORM: 3, acme: 5, acme + 1: 1}


def test_a_refused_write_leaves_no_record(ground: Ground, acme: int):
    assert ground.create(project("one", organization="acme")).code == 409
    assert verify(ground)[acme].records == 5


def changed(tx: Tx, chain: int) -> None:
    tx.execute("update access.audit_records set actor = 'ann' where chain = %s and sequence = 3", (chain,))


def changed_detail(tx: Tx, chain: int) -> None:
    tx.execute(
        "update access.audit_records set detail = detail || '{\"generation\": 2}' "
        "where chain = %s and sequence = 3",
        (chain,),
    )


def changed_and_hashed_again(tx: Tx, chain: int) -> None:
    tx.execute(
        "update access.audit_records set actor = 'ann', hash = access.audit_hash(previous_hash, chain, sequence, "
        "at, audit_id, 'ann', verb, target, target_uid, resource_version, detail) "
        "where chain = %s and sequence = 2",
        (chain,),
    )


def removed(tx: Tx, chain: int) -> None:
    tx.execute("delete from access.audit_records where chain = %s and sequence = 3", (chain,))


def removed_and_closed_up(tx: Tx, chain: int) -> None:
    removed(tx, chain)
    for sequence in (4, 5):
        tx.execute(
            "update access.audit_records set sequence = sequence - 1 where chain = %s and sequence = %s",
            (chain, sequence),
        )


def reordered(tx: Tx, chain: int) -> None:
    for before, after in ((3, -1), (4, 3), (-1, 4)):
        tx.execute(
            "update access.audit_records set sequence = %s where chain = %s and sequence = %s",
            (after, chain, before),
        )


def cut_off_at_the_start(tx: Tx, chain: int) -> None:
    tx.execute("delete from access.audit_records where chain = %s and sequence <= 2", (chain,))


def cut_off_at_the_end(tx: Tx, chain: int) -> None:
    tx.execute("delete from access.audit_records where chain = %s and sequence >= 4", (chain,))


def cut_off_with_its_head_moved(tx: Tx, chain: int) -> None:
    cut_off_at_the_end(tx, chain)
    tx.execute("update access.audit_heads set sequence = 3 where chain = %s", (chain,))


def emptied(tx: Tx, chain: int) -> None:
    tx.execute("delete from access.audit_records where chain = %s", (chain,))


def removed_without_a_trace(tx: Tx, chain: int) -> None:
    emptied(tx, chain)
    tx.execute("delete from access.audit_heads where chain = %s", (chain,))


@pytest.mark.parametrize(
    ("tamper", "first_broken", "problem"),
    [
        (changed, 3, "the record was changed"),
        (changed_detail, 3, "the record was changed"),
        (changed_and_hashed_again, 3, "the record does not follow from the one before it"),
        (removed, 3, "the record is missing"),
        (removed_and_closed_up, 3, "the record was changed"),
        (reordered, 3, "the record was changed"),
        (cut_off_at_the_start, 1, "the record is missing"),
        (cut_off_at_the_end, 4, "the end of the chain was cut off: it had 5 records"),
        (cut_off_with_its_head_moved, 3, "the head of the chain is not that of its last record"),
        (emptied, 1, "the end of the chain was cut off: it had 5 records"),
        (removed_without_a_trace, 1, "the head of the chain is missing"),
    ],
)
def test_tampering_is_found_and_named(
    ground: Ground,
    acme: int,
    superuser_tx: Tx,
    tamper: Callable[[Tx, int], None],
    first_broken: int,
    problem: str,
):
    tamper(superuser_tx, acme)
    reports = verify(ground)
    assert (reports[acme].ok, reports[acme].first_broken, reports[acme].problem) == (
        False,
        first_broken,
        problem,
    )
    assert all(report.ok for chain, report in reports.items() if chain != acme)


def test_a_chain_that_was_written_anew_as_a_whole_shows_in_a_head_kept_elsewhere(
    ground: Ground, acme: int, superuser_tx: Tx
):
    kept = verify(ground)[acme].head
    superuser_tx.execute("delete from access.audit_records where chain = %s", (acme,))
    superuser_tx.execute("delete from access.audit_heads where chain = %s", (acme,))
    with ground.transaction() as tx:
        operations.record(
            tx, chain=acme, at=START, audit_id=AUDIT_ID, actor="ann", verb="create", target="x", detail={}
        )
    report = verify(ground)[acme]
    assert report.ok
    assert report.head != kept


def test_one_chain_can_be_asked_for_and_an_unknown_one_is_an_error(ground: Ground, acme: int):
    assert list(verify(ground, chain=acme)) == [acme]
    with pytest.raises(ChainNotFound):
        verify(ground, chain=4711)


def test_an_organization_sees_and_verifies_its_own_chain_only(ground: Ground, acme: int):
    assert {c: r.ok for c, r in verify(ground, reach=frozenset({acme})).items()} == {acme: True}
    with pytest.raises(ChainNotFound):
        verify(ground, chain=PLATFORM, reach=frozenset({acme}))
    with ground.transaction(frozenset({acme})) as tx:
        assert {r.chain for r in operations.list_records(tx, after=None, limit=500)} == {acme}


def test_pages_of_records_follow_each_other(ground: Ground, acme: int):
    with ground.transaction() as tx:
        whole = operations.list_records(tx, after=None, limit=500)
        paged: list[tuple[int, int]] = []
        after: Position | None = None
        while page := list(operations.list_records(tx, after=after, limit=2)):
            assert len(page) <= 2
            paged += [(record.chain, record.sequence) for record in page]
            after = Position(page[-1].chain, page[-1].sequence)
    assert paged == [(record.chain, record.sequence) for record in whole]


@pytest.mark.parametrize(
    "statement",
    [
        "update access.audit_records set actor = 'ann'",
        "delete from access.audit_records",
        "truncate access.audit_records",
        "insert into access.audit_records select * from access.audit_records",
        "update access.audit_heads set sequence = 0",
        "delete from access.audit_heads",
    ],
)
def test_the_doors_roles_can_only_append(ground: Ground, acme: int, statement: str):
    for database in (ground.databases.app, ground.databases.job, ground.databases.ingest):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            database.transaction(reach=EVERYWHERE) as tx,
        ):
            tx.execute(statement.encode())
