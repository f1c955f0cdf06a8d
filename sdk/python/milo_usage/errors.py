"""What can go wrong for a caller of `record`; each message says what, where, and what to do."""

from collections.abc import Sequence


class UsageError(Exception):
    """Base of everything that this package raises on purpose."""


class InvalidEvent(UsageError, ValueError):
    """The event could never be billed, so it was not recorded. `errors` says all that is wrong with it."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


class UnableToRecord(UsageError):
    """The event is not on disk and will not be sent: the disk refused. Record it again once the cause is mended."""


class SpoolFull(UnableToRecord):
    """The spool has reached `spool_bytes_max`. It drains by itself when the gateway takes events again."""


class RecorderClosed(UnableToRecord):
    """`close()` was called; make a new Recorder."""


class UnreadableSpool(UsageError):
    """The folder is no spool, or may not be read."""
