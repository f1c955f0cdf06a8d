"""What usage needs from outside: a place for archived days."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from milo_billing.kernel.errors import NotFound


class BlobMissing(NotFound):
    """Nothing is kept under this name."""


class BlobStore(Protocol):
    """Keeps whole files under names such as `usage/2026/events-20261001.parquet`. A file is there whole, or not at all.

    A folder of this machine fits, and so does S3: local paths are for the time of the block only, and what is put in
    place can be replaced but not changed.
    """

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A path to write the file at. When the block ends well, the file is durable and found under its name.

        An exception in the block leaves what was there before. A process that is killed leaves at most a file under
        another name, which the next writer of the same name removes.
        """
        ...

    def reading(self, name: str) -> AbstractContextManager[Path]:
        """A path to read the file at. Raises BlobMissing."""
        ...

    def delete(self, name: str) -> None:
        """Remove the file; one that is not there is no error."""
        ...
