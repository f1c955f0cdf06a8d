"""Commands on the documents of invoices, credit notes and cancellations: save, print and validate them."""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import App, ArgumentCollection, Group, Parameter

from milo_billing.cli.invoices import STILL_S, find_invoice, number_of
from milo_billing.cli.output import write, write_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Namespace, Target
from milo_billing.client.billing import (
    ASK_AGAIN_S,
    DocumentPlural,
    get_invoice_document,
    get_printing,
    open_printing,
    validate_invoice,
)
from milo_billing.client.errors import ClientError
from milo_billing.client.generated import Invoice
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.objects import Objects

Format = Literal["pdf", "ubl", "cii"]
AT_ONCE = 4
"""Documents asked for at a time: the server writes on several processors, where it has them."""
_ENDINGS = {"pdf": ".pdf", "ubl": ".ubl.xml", "cii": ".cii.xml"}


@dataclass(frozen=True, slots=True)
class Paper:
    """An invoice, a credit note or what cancels one: where it is, and the number it is known by."""

    plural: DocumentPlural
    namespace: str
    name: str
    number: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The file of each document by number, how many were there before, and which did not come, with the reason."""

    files: dict[str, Path]
    unchanged: int
    failed: tuple[tuple[str, str], ...]


def _some(arguments: ArgumentCollection) -> None:
    if not arguments.filter_by(value_set=True):
        raise ValueError("say which invoices: their names, or --month for all of a month")


_WHICH = Group("Which invoices", validator=_some)
_Names = Annotated[
    list[str] | None,
    Parameter(
        group=_WHICH,
        help="Names or numbers of invoices and credit notes, numbers of cancellations.",
        negative=(),
    ),
]
_CreditNotes = Annotated[
    bool,
    Parameter(
        negative=(), help="With --month: the credit notes over these invoices, and what cancels them, too."
    ),
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
        "  milo-billing invoices save --month 2026-10 --credit-notes --to invoices/\n\n"
        "  milo-billing invoices save INV-000001 CN-2026-000001 --format ubl",
    )
    invoices.command(
        print_,
        name="print",
        help_epilogue="Examples:\n\n"
        "  milo-billing invoices print --month 2026-10 --to invoices/\n\n"
        "  milo-billing invoices print --month 2026-10\n\n"
        "  milo-billing invoices print --all --to invoices/ -n organization-acme",
    )
    invoices.command(
        validate,
        help_epilogue="Examples:\n\n"
        "  milo-billing invoices validate INV-000001\n\n"
        "  milo-billing invoices validate --month 2026-10 --credit-notes -n organization-acme",
    )


def save(
    names: _Names = None,
    /,
    *,
    month: _Month = None,
    credit_notes: _CreditNotes = False,
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
    """Save invoices and credit notes as files named like their numbers; safe to repeat, what is there already is not
    fetched again.

    One that cannot be said in this format is told with its reason, and the others are saved.
    """
    with target.open() as api:
        found = _chosen(api, names or (), month=month, credit_notes=credit_notes, namespace=namespace)
        saved = save_papers(api, found, to=to, format=format, again=again, silent=target.structured)
    return write_saved(saved, to=to, target=target)


def print_(
    *,
    month: _Month = None,
    all: Annotated[
        bool, Parameter(group=_WHICH, negative=(), help="Of all months; instead of --month.")
    ] = False,
    to: Annotated[
        Path | None,
        Parameter(
            help="Folder to save them in; made where it is not there. Without it they stay on the server."
        ),
    ] = None,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> int:
    """Have the PDFs of all invoices of a month, or of all there are, and of the credit notes over them written.

    Workers of the server write each once, in a process that they replace, so its memory stays what it is; what was
    written before is not written again. Whatever interrupts this command, they go on; the same command
    goes on where it was, and leaves alone what is in the folder.
    """
    if month is not None:
        _month(month)
    with target.open() as api:
        printing = open_printing(api, month=None if all else month, namespace=namespace)
        printing = _watched(api, printing, silent=target.structured)
        if to is None:
            return _write_printing(printing, target=target)
        found = _chosen(
            api, (), month=None if all else month, all=all, credit_notes=True, namespace=namespace
        )
        saved = save_papers(api, found, to=to, format="pdf", again=False, silent=target.structured)
    return write_saved(saved, to=to, target=target)


def _watched(api: ApiClient, printing: JSON, *, silent: bool) -> JSON:
    """The printing once it is finished, or as it stands where nobody works on it; shows how far it is."""
    moved_s, last = time.monotonic(), -1
    with Rate(verb="printed", unit="documents", silent=silent) as rate:
        while printing["state"] != "finished":
            done, total = int(printing["done"]), int(printing["total"])
            if done != last:
                moved_s, last = time.monotonic(), done
            elif time.monotonic() - moved_s > STILL_S:
                sys.stderr.write(
                    f"no document was written for {STILL_S:.0f} s: is a worker running? (milo-billing serve, or serve "
                    "--role worker); it goes on as soon as one is\n"
                )
                break
            rate.show(done, part=done / total if total else None)
            time.sleep(ASK_AGAIN_S)
            printing = get_printing(api, printing["id"])
    return printing


def _write_printing(printing: JSON, *, target: Target) -> int:
    """Say what was written on the server and what was not; the exit code."""
    waiting = int(printing["total"]) - int(printing["done"])
    if target.structured:
        target.write(printing)
    else:
        failures = cast("list[dict[str, str]]", printing["failures"])
        if failures:
            write_table(["Number", "Reason"], [[one["number"], one["reason"]] for one in failures])
        write(f"{printing['printed']:,} printed, {waiting:,} waiting, {printing['failed']:,} failed")
    return EXIT_FAILED if printing["failed"] or waiting else 0


def validate(
    names: _Names = None,
    /,
    *,
    month: _Month = None,
    credit_notes: _CreditNotes = False,
    namespace: Namespace = None,
    target: Target = DEFAULT,
) -> int:
    """Ask the schemas and rules of EN 16931 whether invoices and credit notes are right, in UBL and in CII.

    Exits 1 where one of them is not, or cannot be an electronic one; a warning does not make one wrong.
    """
    rows: list[list[str]] = []
    wrong = 0
    with target.open() as api:
        chosen = _chosen(api, names or (), month=month, credit_notes=credit_notes, namespace=namespace)
        with Rate(verb="validated", unit="documents", silent=target.structured) as rate:
            for done, paper in enumerate(chosen, start=1):
                found = list(_findings(api, paper))
                wrong += any(severity == "error" for _, _, severity, *_ in found)
                rows += found
                rate.show(done, part=done / len(chosen))
    if target.structured:
        keys = ("invoice", "document", "severity", "rule", "message", "location")
        findings = [dict(zip(keys, row, strict=True)) for row in rows]
        target.write({"invoices": len(chosen), "wrong": wrong, "findings": findings})
    else:
        if rows:
            write_table(["Number", "Document", "Severity", "Rule", "Message"], [row[:5] for row in rows])
        write(f"{len(chosen) - wrong:,} right, {wrong:,} wrong")
    return EXIT_FAILED if wrong else 0


def _findings(api: ApiClient, paper: Paper) -> Iterator[list[str]]:
    """What is said against an invoice or credit note; that it is none is an error without a rule."""
    try:
        found = validate_invoice(api, namespace=paper.namespace, name=paper.name, plural=paper.plural)
    except ClientError as error:
        yield [paper.number, "", "error", "", str(error), ""]
        return
    for syntax, findings in cast("dict[str, list[dict[str, str]]]", found["documents"]).items():
        for one in findings:
            yield [paper.number, syntax, one["severity"], one["rule"], one["message"], one["location"]]


# --------------------------------------------------------------------------------------------------- which ones


def _chosen(
    api: ApiClient,
    names: Sequence[str],
    *,
    month: str | None,
    credit_notes: bool,
    namespace: str | None,
    all: bool = False,
) -> list[Paper]:
    """The invoices and credit notes of these names, and those of the month or of all months, each once, by number."""
    chosen = {one.number: one for name in names for one in (_named(api, name, namespace=namespace),)}
    if month is not None or all:
        wanted = None if month is None else _month(month)
        objects = Objects(api)
        for listed in objects.list(objects.find_kind("invoices"), namespace=namespace):
            invoice = cast("Invoice", listed)
            if wanted in (None, period_month(invoice)):
                chosen[number_of(invoice)] = _paper("invoices", listed)
        if credit_notes:
            invoices = {(one.namespace, one.name) for one in chosen.values()}
            for note in objects.list(objects.find_kind("creditnotes"), namespace=namespace):
                if (note["metadata"]["namespace"], note["spec"]["invoiceRef"]["name"]) in invoices:
                    chosen |= {paper.number: paper for paper in _papers_of(note)}
    return [chosen[number] for number in sorted(chosen)]


def _named(api: ApiClient, name: str, *, namespace: str | None) -> Paper:
    """The invoice, or else the credit note, of this name or number, or the cancellation of this number."""
    try:
        return _paper("invoices", cast("JSON", find_invoice(api, name, namespace=namespace)[2]))
    except ClientError as error:
        objects = Objects(api)
        notes = objects.list(objects.find_kind("creditnotes"), namespace=namespace)
        found = [
            one
            for note in notes
            for one in _papers_of(note)
            if name == one.number or (name == one.name and one.plural == "creditnotes")
        ]
        if len(found) != 1:
            raise error from None
        return found[0]


def _paper(plural: DocumentPlural, listed: JSON) -> Paper:
    metadata = listed["metadata"]
    number = str(listed.get("status", {}).get("number") or metadata["name"])
    return Paper(plural, metadata["namespace"], metadata["name"], number)


def _papers_of(note: JSON) -> Iterator[Paper]:
    """The credit note, and what cancels it where it is cancelled."""
    paper = _paper("creditnotes", note)
    yield paper
    number = str(note.get("status", {}).get("cancellation", {}).get("number", ""))
    if number:
        yield Paper("cancellations", paper.namespace, paper.name, number)


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


# ------------------------------------------------------------------------------------------------------- files


def save_papers(
    api: ApiClient, papers: Sequence[Paper], *, to: Path, format: Format, again: bool, silent: bool
) -> Saved:
    """Fetch and write what is not there yet, some at a time."""
    _make_folder(to)
    files = {one.number: to / _file_name(one, format) for one in papers}
    waiting = [one for one in papers if again or not files[one.number].exists()]
    failed: list[tuple[str, str]] = []
    with (
        Rate(verb="saved", unit="documents", silent=silent) as rate,
        ThreadPoolExecutor(max_workers=AT_ONCE) as pool,
    ):
        asked = {pool.submit(_save, api, one, files[one.number], format): one for one in waiting}
        for done, future in enumerate(as_completed(asked), start=1):
            try:
                future.result()
            except ClientError as error:
                failed.append((asked[future].number, str(error)))
            rate.show(done, part=done / len(waiting))
    return Saved(files, len(papers) - len(waiting), tuple(sorted(failed)))


def write_saved(saved: Saved, *, to: Path, target: Target) -> int:
    """Say what was saved and what was not; the exit code."""
    count = len(saved.files) - saved.unchanged - len(saved.failed)
    if target.structured:
        target.write(
            {
                "saved": count,
                "unchanged": saved.unchanged,
                "failed": [{"invoice": number, "reason": reason} for number, reason in saved.failed],
                "files": [
                    str(path) for number, path in saved.files.items() if number not in dict(saved.failed)
                ],
            }
        )
    else:
        if saved.failed:
            write_table(["Number", "Reason"], [list(one) for one in saved.failed])
        write(f"{count:,} saved in {to}, {saved.unchanged:,} were there, {len(saved.failed):,} failed")
    return EXIT_FAILED if saved.failed else 0


def _file_name(paper: Paper, format: Format) -> str:
    return f"{paper.number}{_ENDINGS[format]}".replace("/", "-")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"The folder cannot be made: {error.strerror}.", where=str(folder)) from error


def _save(api: ApiClient, paper: Paper, path: Path, format: Format) -> None:
    """Whole or not at all: a file that was broken off would be taken for one that is there."""
    content = get_invoice_document(
        api, namespace=paper.namespace, name=paper.name, kind=format, plural=paper.plural
    )
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise ClientError(f"The file cannot be written: {error.strerror}.", where=str(path)) from error
