"""What notices needs from outside: somebody who carries a message to its target, and documents to go with it."""

from typing import Protocol

from milo_billing.infra.database import Tx
from milo_billing.notices.types import Answer, Attachment, Parcel


class Sender(Protocol):
    """Carries one way of delivery: mail, webhooks or chats. Thread-safe."""

    def send(self, parcel: Parcel) -> Answer:
        """Make one call and say how it went; outside of any transaction.

        The same message may come again, after a failure or a crash: it bears the same id, so that the other side can
        tell. Whatever goes wrong is an Answer, not an exception.
        """
        ...


class Attachments(Protocol):
    """Finds the documents that events name."""

    def open(self, tx: Tx, reference: str) -> Attachment:
        """The document that `Event.attachments` names, written if that was not done yet.

        Raises NotFound, or what the slice that writes it raises; then the delivery fails and is tried again.
        """
        ...
