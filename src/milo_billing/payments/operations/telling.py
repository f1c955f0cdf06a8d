"""What providers tell: stored once before it is answered, applied by asking the provider how things stand."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from milo_billing.accounts.reads import methods as method_reads
from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import NotFound
from milo_billing.payments import store
from milo_billing.payments.operations.desk import Desk, open_provider, read_config

APPLY: Final = "payments.apply_event"
"""The job that gives a stored event its effect."""


def store_event(work: Work, desk: Desk, *, class_name: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Verify a webhook and store what it is about, with a job that applies it; False where it came before.

    Raises NotFound for a class that takes none, WebhookRefused, UnreadableWebhook.
    """
    found = method_reads.find_method_class(work.tx, name=class_name)
    if found is None or found.provider == "manual":
        raise NotFound(f'no payment method class "{class_name}" takes webhooks')
    provider = open_provider(desk, read_config(work.tx, desk, class_uid=found.uid))
    event = provider.parse_webhook(body, headers, now=work.now)
    if not store.insert_event(work.tx, event, class_uid=found.uid, at=work.now):
        return False
    defer_apply(work.tx, class_uid=found.uid, id=event.id, reference=event.reference)
    return True


def defer_apply(tx: Tx, *, class_uid: UUID, id: str, reference: str) -> None:
    """Have a worker give an event its effect, unless one waits for it already. Safe to repeat.

    What is told of one thing is applied one after the other: of two workers who asked at once, the one with the older
    answer could come last, and a dispute that is won would stand as open.
    """
    lock = f"{APPLY}/{class_uid}/{reference}"
    jobs.defer(tx, APPLY, lock=lock, once=f"{APPLY}/{class_uid}/{id}", class_uid=str(class_uid), id=id)
