"""Advisory locks are numbers that nobody checks but this: each has one meaning, and all stand in one place."""

import re
from pathlib import Path

from milo_billing.infra import advisory_locks

ROOT = Path(__file__).parents[2]
LOCKS = {name: value for name, value in vars(advisory_locks).items() if name.isupper()}
CALL = re.compile(r"pg_(?:try_)?advisory_(?:xact_)?(?:un)?lock(?:_shared)?\(\s*(?!%s)([^,):]+)")


def test_no_two_locks_have_the_same_number():
    assert len(LOCKS) > 10
    assert len(set(LOCKS.values())) == len(LOCKS)


def test_locks_are_named_and_never_numbered_where_they_are_taken():
    for path in (ROOT / "src" / "milo_billing").rglob("*.py"):
        assert CALL.findall(path.read_text()) == [], path


def test_the_database_takes_locks_of_the_list_only():
    taken = {int(number) for number in CALL.findall((ROOT / "db" / "schema.sql").read_text())}
    assert taken == {advisory_locks.COMMIT, advisory_locks.TREES, advisory_locks.BOOKS}
