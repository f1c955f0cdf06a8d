"""Commands on the documents of invoices: save them as files, by name or all of a month, and validate them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import App, ArgumentCollection, Group, Parameter

from milo_billing.cli.invoices import find_invoice, identity_of, number_of
from milo_billing.cli.output import write, write_json, write_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Namespace, Target
from milo_billing.client.billing import get_invoice_document, validate_invoice
from milo_billing.client.errors import ClientError
from milo_billing.client.generated import Invoice
from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects

Format = Literal["pdf", "ubl", "cii"]
AT_ONCE = 4
"""Documents asked for at a time: the server writes on several processors, where it has them."""
_ENDINGS = {"pdf": ".pdf", "ubl": ".ubl.xml", "cii": ".cii.xml"}


def _some(arguments: ArgumentCollection) -> None:
    if not arguments.filter_by(value_set=True):
        raise ValueError("say which invoices: their names, or --month for all of a month")


_WHICH = Group("Which invoices", validator=_some)
_Names = Annotated[
    list[str] | None, Parameter(group=_WHICH, help="Names or numbers of invoices.", negative=())
]
_Month = Annotated[
    str | None, Parameter(group=_WHICH, help="YYYY-MM, the month in which the billing period starts.")
]


def mount(invoices: App) -> None:
    """Add the commands to `milo-billing invoices`."""
    invoices.command(
        save,
        help_epilogue="Examples:\n\n"
        "  milo-billing invoices save --month 2026-10 --to invoices/\n\n"
        "  milo-billing invoices save INV-000001 INV-000002 --format ubl",
    )
    invoices.command(
        validate,
        help_epilogue="Examples:\n\n"
        "  milo-billing invoices validate INV-000001\n\n"
        "  milo-billing invoices validate --month 2026-10 -n organization-acme",
    )


def save(
    names: _Names = None,
    /,
    *,
    month: _Month = None,
    format: Annotated[
        Format,
        Parameter(help="pdf for people; ubl or cii for machines, after EN 16931."),
    ] = "pdf",
    to: Annotated[Path, Parameter(help="Folder to write to; made where it is not there.")] = Path(),
    again: Annotated[
        bool, Parameter(negative=(), help="Write over files that are there; else they are left alone.")
    ] = False,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> int:
    """Save invoices as files named like their numbers; safe to repeat, what is there already is not fetched again.

    An invoice that cannot be said in this format is told with its reason, and the others are saved.
    """
    with target.open() as api:
        found = _chosen(api, names or (), month=month, namespace=namespace)
        _make_folder(to)
        files = {number_of(one): to / _file_name(one, format) for one in found}
        waiting = [one for one in found if again or not files[number_of(one)].exists()]
        failed = _save_all(api, waiting, files=files, format=format, silent=target.json)
    saved = len(waiting) - len(failed)
    if target.json:
        write_json(
            {
                "saved": saved,
                "unchanged": len(found) - len(waiting),
                "failed": [{"invoice": number, "reason": reason} for number, reason in failed],
                "files": [str(path) for number, path in files.items() if number not in dict(failed)],
            }
        )
    else:
        if failed:
            write_table(["Invoice", "Reason"], [list(one) for one in failed])
        write(f"{saved:,} saved in {to}, {len(found) - len(waiting):,} were there, {len(failed):,} failed")
    return EXIT_FAILED if failed else 0


def validate(
    names: _Names = None,
    /,
    *,
    month: _Month = None,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> int:
    """Ask the schemas and rules of EN 16931 whether invoices are right, in UBL and in CII.

    Exits 1 where one of them is not, or cannot be an electronic invoice; a warning does not make one wrong.
    """
    rows: list[list[str]] = []
    wrong = 0
    with target.open() as api:
        chosen = _chosen(api, names or (), month=month, namespace=namespace)
        with Rate(verb="validated", unit="invoices", silent=target.json) as rate:
            for done, invoice in enumerate(chosen, start=1):
                found = list(_findings(api, invoice))
                wrong += any(severity == "error" for _, _, severity, *_ in found)
                rows += found
                rate.show(done, part=done / len(chosen))
    if target.json:
        keys = ("invoice", "document", "severity", "rule", "message", "location")
        findings = [dict(zip(keys, row, strict=True)) for row in rows]
        write_json({"invoices": len(chosen), "wrong": wrong, "findings": findings})
    else:
        if rows:
            write_table(["Invoice", "Document", "Severity", "Rule", "Message"], [row[:5] for row in rows])
        write(f"{len(chosen) - wrong:,} right, {wrong:,} wrong")
    return EXIT_FAILED if wrong else 0


def _findings(api: ApiClient, invoice: Invoice) -> Iterator[list[str]]:
    """What is said against an invoice; that it is none is an error without a rule."""
    namespace, name = identity_of(invoice)
    number = number_of(invoice)
    try:
        found = validate_invoice(api, namespace=namespace, name=name)
    except ClientError as error:
        yield [number, "", "error", "", str(error), ""]
        return
    for syntax, findings in cast("dict[str, list[dict[str, str]]]", found["documents"]).items():
        for one in findings:
            yield [number, syntax, one["severity"], one["rule"], one["message"], one["location"]]


def _chosen(
    api: ApiClient, names: Sequence[str], *, month: str | None, namespace: str | None
) -> list[Invoice]:
    """The invoices of these names, and all of the month, each once, by number."""
    chosen = {
        number_of(one): one for name in names for one in (find_invoice(api, name, namespace=namespace)[2],)
    }
    if month is not None:
        wanted = _month(month)
        objects = Objects(api)
        for listed in objects.list(objects.find_kind("invoices"), namespace=namespace):
            invoice = cast("Invoice", listed)
            if period_month(invoice) == wanted:
                chosen[number_of(invoice)] = invoice
    return [chosen[number] for number in sorted(chosen)]


def _month(text: str) -> tuple[int, int]:
    try:
        at = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ClientError(f"{text!r} is no month.", where="--month", next_step="Write YYYY-MM.") from None
    return at.year, at.month


def period_month(invoice: Invoice) -> tuple[int, int]:
    """The month in which the (last) rating period of the invoice starts.

    Periods end at a local midnight, of which only the instant is known: no zone is more than 14 hours before UTC.
    """
    end = datetime.fromisoformat(invoice["spec"]["period"]["end"]) + timedelta(hours=14)
    return (end.year, end.month - 1) if end.month > 1 else (end.year - 1, 12)


def _file_name(invoice: Invoice, format: Format) -> str:
    return f"{number_of(invoice)}{_ENDINGS[format]}".replace("/", "-")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"The folder cannot be made: {error.strerror}.", where=str(folder)) from error


def _save_all(
    api: ApiClient, invoices: Sequence[Invoice], *, files: dict[str, Path], format: Format, silent: bool
) -> list[tuple[str, str]]:
    """Fetch and write, some at a time; number and reason of those that did not come."""
    failed: list[tuple[str, str]] = []
    with (
        Rate(verb="saved", unit="documents", silent=silent) as rate,
        ThreadPoolExecutor(max_workers=AT_ONCE) as pool,
    ):
        asked = {pool.submit(_save, api, one, files[number_of(one)], format): one for one in invoices}
        for done, future in enumerate(as_completed(asked), start=1):
            try:
                future.result()
            except ClientError as error:
                failed.append((number_of(asked[future]), str(error)))
            rate.show(done, part=done / len(invoices))
    return sorted(failed)


def _save(api: ApiClient, invoice: Invoice, path: Path, format: Format) -> None:
    """Whole or not at all: a file that was broken off would be taken for one that is there."""
    namespace, name = identity_of(invoice)
    content = get_invoice_document(api, namespace=namespace, name=name, kind=format)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise ClientError(f"The file cannot be written: {error.strerror}.", where=str(path)) from error
