"""The Invoice object, written from the invoice's row in the transaction that changed it."""

from typing import Any, Final, cast

from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Condition, set_condition
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.rules import issuing
from milo_billing.invoicing.types import GROUP, Invoice

PDF: Final = "pdf"


def publish(work: Work, engine: Engine, invoice: Invoice, *, verb: str) -> None:
    """Write the Invoice object as the row says; `verb` is what the audit calls it. Saying it again writes nothing."""
    kind = engine.registry.find(GROUP, "v1alpha1", "invoices")
    assert kind is not None, "the kind of this slice is registered"
    standing = engine.find_object(work.tx, type(kind), namespace=invoice.namespace, name=invoice.name)
    conditions = cast("list[Condition]", [] if standing is None else standing.status.conditions)
    for type_, status, reason, message in issuing.invoice_conditions(invoice):
        if status == "False" and not any(c.type == type_ for c in conditions):
            continue  # what never was is not said
        conditions = set_condition(
            conditions,
            type=type_,
            status=status,
            reason=reason,
            message=message,
            observed_generation=1,
            now=work.now,
        )
    body: dict[str, Any] = issuing.invoice_status(invoice)
    body["documents"] = {"pdf": issuing.document_path(invoice, kind=PDF)}
    body["conditions"] = [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in conditions]
    engine.write_system(
        work,
        type(kind),
        namespace=invoice.namespace,
        name=invoice.name,
        spec=issuing.invoice_spec(invoice),
        status=body,
        verb=verb,
        uid=invoice.uid,
    )
