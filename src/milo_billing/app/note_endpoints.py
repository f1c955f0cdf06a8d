"""The endpoints of credit notes and of what cancels them, as the OpenAPI document says them (app.endpoints)."""

from collections.abc import Iterator
from typing import Final

from milo_billing.controlplane.endpoints import TEXT, Endpoint, fields, many
from milo_billing.controlplane.kinds import Json
from milo_billing.invoicing.routes import CANCELLATION_PATH, GET_NOTES, NOTE_PATH

FINDINGS: Final[Json] = many(
    fields(
        {"severity": {**TEXT, "enum": ["error", "warning"]}, "rule": TEXT, "message": TEXT, "location": TEXT}
    )
)
_XML: Final = (
    ("Ubl", "ubl", "in UBL 2.1. 409 where the standard cannot say it, with the reason."),
    ("Cii", "cii", "in CII D16B: what Factur-X has inside. 409 as for UBL."),
)


def _documents(subject: str, *, path: str, about: str, absent: str = "") -> Iterator[Endpoint]:
    """The documents of one paper; `absent` says when there is none."""
    binary: Json = {"type": "string", "format": "binary"}
    yield Endpoint(
        id=f"show{subject}Pdf",
        method="get",
        path=f"{path}/pdf",
        about=f"{about} as a PDF.{absent}",
        permission=GET_NOTES,
        media_type="application/pdf",
        answer=binary,
    )
    for id, kind, said in _XML:
        yield Endpoint(
            id=f"show{subject}{id}",
            method="get",
            path=f"{path}/{kind}",
            about=f"{about} after EN 16931, {said}{absent}",
            permission=GET_NOTES,
            media_type="application/xml",
            answer=binary,
        )
    yield Endpoint(
        id=f"validate{subject}",
        method="get",
        path=f"{path}/validation",
        about=f"What the schemas and the rules of EN 16931 say against {about[0].lower()}{about[1:]} in UBL and in "
        f"CII. A warning does not make it wrong.{absent}",
        permission=GET_NOTES,
        answer=fields(
            {"valid": {"type": "boolean"}, "documents": fields({"ubl": FINDINGS, "cii": FINDINGS})}
        ),
    )


NOTES: Final = (
    *_documents("CreditNote", path=NOTE_PATH, about="The credit note"),
    *_documents(
        "Cancellation",
        path=CANCELLATION_PATH,
        about="The document that cancels the credit note",
        absent=" 404 where the credit note stands.",
    ),
)
