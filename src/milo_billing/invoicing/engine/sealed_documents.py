"""Documents as they are kept: sealed under a key of what they are about, and told from what was not written here."""

import base64
import hashlib
from datetime import datetime
from typing import cast
from uuid import UUID

from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.invoicing.types.documents import PrintedDocument


def sealed(tx: Tx, vault: Vault, *, subject: UUID, content: bytes, now: datetime) -> str:
    """The content as it is stored, under the key of the invoice or credit note."""
    return vault.seal(tx, subject=subject, value=base64.b64encode(content).decode(), at=now)


def opened(tx: Tx, vault: Vault, kept: tuple[str, bytes, str], *, subject: UUID, of: str) -> PrintedDocument:
    """What is kept: media type, SHA-256 of the clear bytes, sealed body. `of` is what it is about, for people.

    Raises AssertionError where these are not the bytes that were written, and UnableToOpen without the key.
    """
    media_type, sha256, body = kept
    content = base64.b64decode(cast("str", vault.open(tx, subject=subject, ciphertext=body)))
    if hashlib.sha256(content).digest() != sha256:
        raise AssertionError(f"the document of {of} is not the one that was written")
    return PrintedDocument(media_type=media_type, sha256=sha256, content=content)
