"""The database that a command of the server works on: the embedded one, held for as long as it is used, or another."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass

from milo_billing.infra.locks import FolderLock
from milo_billing.infra.postgres.server import PostgresServer, start
from milo_billing.infra.settings import Settings, surroundings


@dataclass
class Storage:
    """`conninfo` of the login user; `server` is the embedded PostgreSQL, None with DATABASE_URL."""

    conninfo: str
    server: PostgresServer | None


def start_embedded(settings: Settings) -> PostgresServer:
    """Start or take over the embedded PostgreSQL; the caller holds the lock of the data folder."""
    return start(
        settings.data_dir, bindir=settings.bindir, around=surroundings(), fsync=settings.postgres_fsync
    )


@contextlib.contextmanager
def open_storage(settings: Settings) -> Generator[Storage]:
    """The database, with the data folder locked where the database is ours.

    At the end the embedded server is stopped. Raises FolderLocked while a server runs, UnableToStartPostgres.
    """
    if settings.database_url is not None:
        yield Storage(conninfo=settings.database_url, server=None)
        return
    lock = FolderLock(settings.data_dir)
    lock.acquire()
    try:
        storage = Storage(conninfo="", server=start_embedded(settings))
        assert storage.server is not None
        storage.conninfo = storage.server.conninfo()
        try:
            yield storage
        finally:
            storage.server.stop()
    finally:
        lock.release()
