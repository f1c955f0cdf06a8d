"""Where a simulation runs: on the PostgreSQL that the tests share, or on one of its own, which can be killed."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from milo_billing.infra.database import Tx, connect
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, start
from milo_billing.infra.settings import surroundings
from tests.conftest import TestServer, base_folder, make_template


@dataclass
class Ground:
    """A server. `folder` is its data folder where it is ours to kill, else None."""

    server: TestServer
    folder: Path | None = None

    def superuser(self, database: str) -> Tx:
        """An autocommit connection as PostgreSQL's superuser."""
        return connect(
            self.server.server.conninfo(user=SUPERUSER, database=database), role=None, autocommit=True
        )

    def crash(self) -> None:
        """Kill PostgreSQL with SIGKILL and start it again."""
        assert self.folder is not None, "this server belongs to other tests too"
        self.server.close()
        os.kill(self.server.server.pid, signal.SIGKILL)
        self.server.server.wait_gone()
        self.server = TestServer(_start(self.folder))


@contextlib.contextmanager
def own_ground() -> Generator[Ground]:
    """A PostgreSQL of its own, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"milo-billing-test-{os.getpid()}-", dir=base_folder()))
    folder.chmod(0o711)  # PostgreSQL's user passes through it
    server = TestServer(_start(folder))
    ground = Ground(server, folder)
    try:
        make_template(server)
        yield ground
    finally:
        ground.server.close()
        ground.server.server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> PostgresServer:
    # without fsync a killed PostgreSQL still has what it wrote; only a power cut would tell
    return start(folder, around=surroundings(), fsync=False)
