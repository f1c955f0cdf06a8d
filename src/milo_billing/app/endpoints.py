"""The endpoints that the slices serve beside the kinds, as their OpenAPI document says: what is sent, what comes back.

A new route needs a row here (tests/contract/test_endpoints.py compares). Served at /openapi/v3/v1, by the API for its
own endpoints and by the gateway for those of ingest.
"""

from typing import Final

from milo_billing.access.routes import CREATE_TOKEN, READ_AUDIT, REVOKE_TOKENS
from milo_billing.accounts.routes import LIMIT_MAX
from milo_billing.accounts.routes import READ as READ_ACCOUNTS
from milo_billing.app.bank_endpoints import BANK
from milo_billing.app.bank_file_endpoints import BANK_FILES
from milo_billing.app.commitments_endpoints import COMMITMENTS
from milo_billing.app.credit_endpoints import CREDITS
from milo_billing.app.interest_endpoints import INTEREST
from milo_billing.app.ledger_endpoints import LEDGER
from milo_billing.app.note_endpoints import FINDINGS, NOTES
from milo_billing.app.notices_endpoints import NOTICES
from milo_billing.app.payments_endpoints import PAYMENTS
from milo_billing.app.payout_endpoints import PAYOUTS
from milo_billing.app.preview_endpoints import PREVIEWS
from milo_billing.app.pricing_endpoints import PRICING
from milo_billing.app.printing_endpoints import PRINTINGS
from milo_billing.app.usage_endpoints import USAGE
from milo_billing.controlplane.bulk_door import PATH as BULK_PATH
from milo_billing.controlplane.endpoints import (
    ANY,
    TEXT,
    TIME,
    Body,
    Endpoint,
    Follow,
    Parameter,
    closed,
    document,
    fields,
    many,
    number,
)
from milo_billing.controlplane.kinds import Json
from milo_billing.invoicing.routes import CHECK_VAT, INVOICE_PATH, VAT_CHECKS_PATH
from milo_billing.invoicing.routes import GET as READ_INVOICES
from milo_billing.invoicing.routes import RUN as RUN_INVOICES
from milo_billing.usage.routes.gateway import BATCHED, INGEST, STRUCTURED
from milo_billing.usage.routes.reading import JSON

DOCUMENT = "v1"
"""Where the document is, below /openapi/v3."""

_NULLABLE_TIME: Json = {**TIME, "nullable": True}
_ACCOUNT: Json = fields({"namespace": TEXT, "name": TEXT})
_LIMIT: Final = Parameter("limit", "Entries of one page.", number(minimum=1, maximum=LIMIT_MAX))
_AT: Final = Parameter("at", "The instant that is asked about; now where none is said.", TIME)
_CONTINUE: Final = Parameter("continue", "What the page before said.")
_FLAG: Json = {"type": "string", "enum": ["true", "false"]}
_PAYER: Json = {
    "account": {**_ACCOUNT, "nullable": True},
    "since": _NULLABLE_TIME,
    "until": _NULLABLE_TIME,
}
_COUNT: Json = number()
_RUN: Json = fields(
    {
        "id": TEXT,
        "month": TEXT,
        "state": {**TEXT, "enum": ["running", "finished"]},
        "openedBy": TEXT,
        "openedAt": TIME,
        "finishedAt": _NULLABLE_TIME,
        "total": _COUNT,
        "done": _COUNT,
        "issued": _COUNT,
        "unchanged": _COUNT,
        "skipped": _COUNT,
        "failed": _COUNT,
        "accountsPerSecond": {"type": "number", "nullable": True},
        "secondsLeft": {**_COUNT, "nullable": True},
        "follows": {
            **TEXT,
            "nullable": True,
            "description": "The run that left accounts to be gone over again, since others were invoiced for them.",
        },
        "followedBy": {
            **TEXT,
            "nullable": True,
            "description": "The run over what this one left; there as soon as this one is finished.",
        },
    }
)
_TOKEN = "/apis/iam.miloapis.com/v1alpha1/namespaces/{namespace}/serviceaccounts/{name}/token"

_OBJECTS: Final = (
    Endpoint(
        id="applyObjects",
        method="post",
        path=BULK_PATH,
        about="Apply many objects, one a line; a line of JSON an object, then the totals.",
        permission="patch and create of each kind",
        parameters=(
            Parameter("fieldManager", "In whose name; required."),
            Parameter("force", "Take over what others have applied.", _FLAG),
            Parameter(
                "onError", "What the first object that fails does.", {**TEXT, "enum": ["stop", "continue"]}
            ),
            Parameter("show", "Whether each line has the object as it stands.", _FLAG),
            Parameter("fieldValidation", "As in kubectl.", {**TEXT, "enum": ["Strict", "Warn", "Ignore"]}),
        ),
        body=Body(TEXT, ("application/x-ndjson",)),
        media_type="application/x-ndjson",
        answer=TEXT,
    ),
)

_ACCESS: Final = (
    Endpoint(
        id="createServiceAccountToken",
        method="post",
        path=_TOKEN,
        about="A new token of a service account. It is shown this once.",
        permission=CREATE_TOKEN,
        body=Body(closed(fields({}, {"expirationSeconds": number(minimum=1)})), required=False),
        code=201,
        answer=fields({"token": TEXT, "expiresAt": TIME}),
    ),
    Endpoint(
        id="revokeServiceAccountTokens",
        method="delete",
        path=_TOKEN,
        about="Revoke all tokens of a service account.",
        permission=REVOKE_TOKENS,
        answer=fields({"revoked": number()}),
    ),
    Endpoint(
        id="verifyAudit",
        method="get",
        path="/v1/audit/verify",
        about="Recompute the audit chains, or one of them.",
        permission=READ_AUDIT,
        parameters=(Parameter("chain", "The number of an organization.", number()),),
        answer=fields({"ok": {"type": "boolean"}, "chains": many(ANY)}),
    ),
    Endpoint(
        id="listAuditRecords",
        method="get",
        path="/v1/audit/records",
        about="Audit records in the order of their chains.",
        permission=READ_AUDIT,
        parameters=(
            Parameter("after", "What `next` of the page before said."),
            Parameter("limit", "Records of one page.", number(minimum=1)),
        ),
        answer=fields({"items": many(ANY), "next": {**TEXT, "nullable": True}}),
    ),
)

_ACCOUNTS: Final = (
    Endpoint(
        id="showPayer",
        method="get",
        path="/v1/projects/{project}/payer",
        about="Who pays for a project at an instant.",
        permission=READ_ACCOUNTS,
        parameters=(_AT,),
        answer=fields({"project": TEXT, "at": TIME, **_PAYER}),
    ),
    Endpoint(
        id="listPayers",
        method="get",
        path="/v1/projects/{project}/payers",
        about="Who has ever paid for a project, in order.",
        permission=READ_ACCOUNTS,
        parameters=(_LIMIT, _CONTINUE),
        answer=fields({"project": TEXT, "items": many(fields(_PAYER)), "continue": TEXT}),
        follows=(Follow("showPayer", {"path.project": "$response.body#/project"}),),
    ),
    Endpoint(
        id="listAccountProjects",
        method="get",
        path="/v1/accounts/{namespace}/{account}/projects",
        about="The projects that an account pays for at an instant.",
        permission=READ_ACCOUNTS,
        parameters=(_AT, _LIMIT, _CONTINUE),
        answer=fields({"account": _ACCOUNT, "at": TIME, "items": many(ANY), "continue": TEXT}),
        follows=(Follow("listPayers", {"path.project": "$response.body#/items/0/project"}),),
    ),
    Endpoint(
        id="showAccountTree",
        method="get",
        path="/v1/accounts/{namespace}/{account}/tree",
        about="The accounts above and below an account, and who is invoiced.",
        permission=READ_ACCOUNTS,
        parameters=(_LIMIT, _CONTINUE),
        answer=fields(
            {
                "account": _ACCOUNT,
                "invoicedAccount": _ACCOUNT,
                "ancestors": many(_ACCOUNT),
                "items": many(ANY),
                "continue": TEXT,
            }
        ),
    ),
)

_INVOICING: Final = (
    Endpoint(
        id="runInvoices",
        method="post",
        path="/v1/invoicing/runs",
        about="Have workers issue the invoices of a month; the answer is the run, whose path says how far it is.",
        permission=RUN_INVOICES,
        body=Body(
            closed(
                fields(
                    {"month": {**TEXT, "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}},
                    {"accounts": many({**TEXT, "description": "As namespace/name."})},
                )
            )
        ),
        code=202,
        follows=(Follow("showInvoiceRun", {"id": "$response.body#/id"}),),
        answer=_RUN,
    ),
    Endpoint(
        id="checkVatNumber",
        method="post",
        path=VAT_CHECKS_PATH,
        about="Ask the register about an account's VAT number, or note what it told you; only the provider's staff.",
        permission=CHECK_VAT,
        body=Body(
            closed(
                fields(
                    {"account": {**TEXT, "description": "As namespace/name."}},
                    {
                        "valid": {
                            "type": "boolean",
                            "description": "What you were told; else the register is asked.",
                        },
                        "source": {**TEXT, "description": "Who told you; with valid."},
                        "reference": {**TEXT, "description": "What proves that you asked."},
                    },
                )
            )
        ),
        answer=fields(
            {
                **dict.fromkeys(("account", "source", "reference"), TEXT),
                "valid": {"type": "boolean"},
                "checkedAt": TIME,
            }
        ),
    ),
    Endpoint(
        id="listInvoiceRuns",
        method="get",
        path="/v1/invoicing/runs",
        about="The runs that were opened last, the newest first.",
        permission=RUN_INVOICES,
        answer=fields({"items": many(_RUN)}),
    ),
    Endpoint(
        id="showInvoiceRun",
        method="get",
        path="/v1/invoicing/runs/{id}",
        about="How far a run is: accounts done, by what became of them, and an estimate of the time left.",
        permission=RUN_INVOICES,
        answer=_RUN,
    ),
    Endpoint(
        id="listInvoiceRunAccounts",
        method="get",
        path="/v1/invoicing/runs/{id}/accounts",
        about="What became of each account that a run has been over.",
        permission=RUN_INVOICES,
        parameters=(
            Parameter("limit", "Accounts of one page.", number(minimum=1)),
            Parameter("continue", "What the page before said.", number(maximum=2**31 - 1)),
            Parameter("state", "Only those.", {**TEXT, "enum": ["issued", "unchanged", "skipped", "failed"]}),
        ),
        answer=fields({"metadata": ANY, "items": many(ANY)}),
    ),
    Endpoint(
        id="listInvoiceLines",
        method="get",
        path=f"{INVOICE_PATH}/lines",
        about="The lines of an invoice.",
        permission=READ_INVOICES,
        parameters=(
            Parameter("limit", "Lines of one page.", number(minimum=1)),
            Parameter("continue", "What the page before said.", number(maximum=2**31 - 1)),
        ),
        answer=fields({"metadata": ANY, "items": many(ANY)}),
    ),
    Endpoint(
        id="listInvoiceLineEvents",
        method="get",
        path=f"{INVOICE_PATH}/lines/{{line}}/events",
        about="The events that make up a line of usage, archived ones too; needs usage.read as well. "
        "`metadata.unreadDays` says which archived days could not be read, and why.",
        permission=READ_INVOICES,
        parameters=(
            Parameter("limit", "Events of one page.", number(minimum=1, maximum=1000)),
            Parameter("continue", "What the page before said."),
            Parameter("later", "Those that began to count after the issue.", _FLAG),
        ),
        answer=fields({"metadata": ANY, "items": many(ANY)}),
    ),
    Endpoint(
        id="listInvoiceSettlements",
        method="get",
        path=f"{INVOICE_PATH}/settlements",
        about="What became of an invoice, in order: payments, credit notes, write-offs, and its phase after each.",
        permission=READ_INVOICES,
        answer=fields({"items": many(ANY)}),
    ),
    *NOTES,
    Endpoint(
        id="showInvoiceDetails",
        method="get",
        path=f"{INVOICE_PATH}/details",
        about="The invoice as CSV: its lines by project, dimension set and day, as far as days are known. The rows of "
        "a line sum to its amount.",
        permission=READ_INVOICES,
        media_type="text/csv",
        answer=TEXT,
    ),
    Endpoint(
        id="showInvoicePdf",
        method="get",
        path=f"{INVOICE_PATH}/pdf",
        about="The invoice as a PDF.",
        permission=READ_INVOICES,
        media_type="application/pdf",
        answer={"type": "string", "format": "binary"},
    ),
    Endpoint(
        id="showInvoiceUbl",
        method="get",
        path=f"{INVOICE_PATH}/ubl",
        about="The invoice after EN 16931, in UBL 2.1. 409 where the standard cannot say it, with the reason.",
        permission=READ_INVOICES,
        media_type="application/xml",
        answer={"type": "string", "format": "binary"},
    ),
    Endpoint(
        id="showInvoiceCii",
        method="get",
        path=f"{INVOICE_PATH}/cii",
        about="The invoice after EN 16931, in CII D16B: what Factur-X has inside. 409 as for UBL.",
        permission=READ_INVOICES,
        media_type="application/xml",
        answer={"type": "string", "format": "binary"},
    ),
    Endpoint(
        id="validateInvoice",
        method="get",
        path=f"{INVOICE_PATH}/validation",
        about="What the schemas and the rules of EN 16931 say against the invoice in UBL and in CII. "
        "A warning does not make it wrong.",
        permission=READ_INVOICES,
        answer=fields(
            {"valid": {"type": "boolean"}, "documents": fields({"ubl": FINDINGS, "cii": FINDINGS})}
        ),
    ),
)

_EVENT: Json = fields(
    {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {
            **TEXT,
            "minLength": 1,
            "description": "A ULID, a UUIDv7, or any text that is unique in `source`.",
        },
        "type": {**TEXT, "minLength": 1, "description": "The name of a meter."},
        "subject": {**TEXT, "minLength": 1, "description": "`projects/<name>`."},
        "data": fields(
            {"value": {"oneOf": [TEXT, {"type": "number"}]}},
            {"dimensions": {"type": "object", "additionalProperties": TEXT}, "resource": ANY},
        ),
    },
    {"source": TEXT, "time": TIME, "datacontenttype": TEXT},
)
_ACCEPTED: Json = fields({"accepted": number()}, {"rejected": many(ANY)})
_IMPORT: Json = fields(
    {
        "id": {**TEXT, "format": "uuid"},
        "state": {**TEXT, "enum": ["open", "complete"]},
        "rows": number(),
        "nextChunk": number(),
        **{name: number() for name in ("accepted", "quarantined", "duplicate", "rejected")},
    }
)
_OF_IMPORT: Final = {"path.id": "$response.body#/id"}

INGEST_ENDPOINTS: Final = (
    Endpoint(
        id="ingestEvent",
        method="post",
        path="/v1/usage/events",
        about="One CloudEvent, durable and counted once when it is answered.",
        permission=INGEST,
        body=Body(_EVENT, (JSON, STRUCTURED)),
        answer=_ACCEPTED,
    ),
    Endpoint(
        id="ingestEvents",
        method="post",
        path="/v1/usage/events:batchIngest",
        about="Many CloudEvents; 207 and a list where some were rejected.",
        permission=INGEST,
        body=Body(many(_EVENT), (JSON, BATCHED)),
        answer=_ACCEPTED,
    ),
    Endpoint(
        id="openImport",
        method="post",
        path="/v1/usage/imports",
        about="Begin the import of a file, or go on with it.",
        permission=INGEST,
        body=Body(
            closed(
                fields(
                    {
                        "digest": {
                            **TEXT,
                            "pattern": "^[0-9a-f]{64}$",
                            "description": "SHA-256 of the file.",
                        },
                        "mapping": ANY,
                        "rows": number(),
                    },
                    {"acceptLate": {"type": "boolean"}},
                )
            )
        ),
        answer=_IMPORT,
        follows=(
            Follow("sendImportChunk", {**_OF_IMPORT, "path.number": "$response.body#/nextChunk"}),
            Follow("completeImport", _OF_IMPORT),
        ),
    ),
    Endpoint(
        id="sendImportChunk",
        method="post",
        path="/v1/usage/imports/{id}/chunks/{number}",
        about="The next rows of a file; the same chunk sent again is answered the same and counts once.",
        permission=INGEST,
        body=Body(
            closed(
                fields(
                    {
                        "events": many(
                            closed(
                                fields(
                                    {
                                        "row": number(),
                                        **dict.fromkeys(("project", "meter"), TEXT),
                                        "time": TIME,
                                        "value": TEXT,
                                    },
                                    {"dimensions": {"type": "object", "additionalProperties": TEXT}},
                                )
                            )
                        )
                    }
                )
            )
        ),
        answer=fields(
            {**{name: number() for name in ("accepted", "quarantined", "duplicate")}, "rejected": many(ANY)}
        ),
        follows=(Follow("completeImport", {"path.id": "$request.path.id"}),),
    ),
    Endpoint(
        id="completeImport",
        method="post",
        path="/v1/usage/imports/{id}/complete",
        about="End an import whose every row was sent.",
        permission=INGEST,
        answer=_IMPORT,
    ),
)

API_ENDPOINTS: Final = (
    *_OBJECTS,
    *_ACCESS,
    *_ACCOUNTS,
    *USAGE,
    *PRICING,
    *COMMITMENTS,
    *_INVOICING,
    *PREVIEWS,
    *CREDITS,
    *INTEREST,
    *PRINTINGS,
    *LEDGER,
    *PAYMENTS,
    *BANK,
    *BANK_FILES,
    *PAYOUTS,
    *NOTICES,
)


def api_document() -> Json:
    """The document of the API's own endpoints."""
    return document(API_ENDPOINTS, title="Milo Billing", version="v1")


def gateway_document() -> Json:
    """The document of the gateway."""
    return document(INGEST_ENDPOINTS, title="Milo Billing usage gateway", version="v1")
