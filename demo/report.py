"""What the demo prints at its end: invoices, what was odd about the usage, and what to do next."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo import month, settling
from demo.agreements import CONVERTED, PROMISE, TAKEN, WELCOME
from demo.provider import DEFAULT_CURRENCY, VAT_COUNTRY, VAT_PERCENT, Account


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """One invoice of the run; its total is the one that the generator computed."""

    account: str
    number: str
    customer: str
    lines: int
    tax: Decimal
    taxed: str
    total: Decimal
    currency: str
    pdf: Path


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What became of the events. `quarantined` is by reason; `seconds` is time spent sending."""

    sent: int
    seconds: float
    late: int
    deduplicated: int
    quarantined: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """What commands printed: the commitment in mid-month, a price explained, a card's decline, the books in the end."""

    progress: str
    explained: str
    declined: str
    books: str


def print_report(
    invoices: Sequence[InvoiceRow], usage: UsageReport, shown: Shown, *, folder: Path, elapsed_s: float
) -> None:
    """Print everything. `folder` is the data folder, with which the demo's server can be started again."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table(
        title=f"Invoices, as PDF in {invoices[0].pdf.parent}/", title_justify="left", show_edge=False
    )
    table.add_column("Number", no_wrap=True)
    table.add_column("Customer")
    table.add_column("Account", no_wrap=True)
    table.add_column("Lines", justify="right")
    table.add_column("VAT", justify="right", no_wrap=True)
    table.add_column("Total", justify="right", no_wrap=True)
    for row in invoices:
        account = row.account.removeprefix("organization-")
        total = f"{row.total:,.2f} {row.currency}"
        table.add_row(row.number, row.customer, account, str(row.lines), f"{row.tax:,.2f} {row.taxed}", total)
    console.print()
    console.print(table)
    console.print("Each line and total equals what the generator computed on its own.")
    for line in _agreed():
        console.print(f"  {line}", soft_wrap=True)
    for title, text in (
        (f"Promised and spent until {month.REBOUND_AT:%d %B}: milo-billing commitment show", shown.progress),
        ("From a quantity to an amount: milo-billing price explain", shown.explained),
        (
            f"Asked by card on {settling.CARD_AT:%d %B}, with no money there yet: milo-billing payments collect",
            shown.declined,
        ),
        (
            f"Paid, past due and credited by {settling.AT:%d %B}: milo-billing ledger trial-balance",
            shown.books,
        ),
    ):
        console.print()
        console.print(title, style="italic")
        console.print(text.rstrip(), soft_wrap=True, markup=False)
    console.print()
    odd = Table(title="Usage", title_justify="left", show_edge=False)
    odd.add_column("What")
    odd.add_column("Events", justify="right")
    odd.add_column("What became of it")
    odd.add_row("sent", f"{usage.sent:,}", "acknowledged: durable before the answer")
    odd.add_row("late", f"{usage.late:,}", "billed to whoever paid at their time")
    odd.add_row("duplicate", f"{usage.deduplicated:,}", "counted once")
    for reason, count in sorted(usage.quarantined.items()):
        odd.add_row(reason, f"{count:,}", "quarantined with this reason, not billed")
    console.print(odd)
    console.print()
    rate = usage.sent / usage.seconds if usage.seconds else 0
    console.print(
        f"{usage.sent:,} events in {usage.seconds:.1f} s over HTTP: {rate:,.0f} events/s. "
        f"Everything in {elapsed_s:.0f} s."
    )
    console.print()
    lines = [
        f"  Open an invoice         {invoices[0].pdf}",
        f"  Start the server again  MILO_BILLING_CLOCK={settling.AT:%Y-%m-%dT%H:%M:%SZ} MILO_BILLING_DATA_DIR={folder} "
        ".venv/bin/milo-billing serve",
        f"  Look around             kubectl --kubeconfig {folder / 'kubeconfig'} get billingaccounts,invoices -A",
        "  Do it yourself          README.md has a tour of five minutes, docs/ has the rest",
    ]
    console.print("What to do next", style="bold")
    console.print("\n".join(lines), soft_wrap=True)


def _agreed() -> list[str]:
    """What was agreed with whom, and where it is on the invoices."""

    def named(account: Account) -> str:
        return _short(account.key)

    return [
        f"{VAT_COUNTRY} takes {VAT_PERCENT}% of who is there (S); a business elsewhere in the Union owes the tax "
        "itself (AE), and what goes abroad is an export (G).",
        f"{named(PROMISE.account)} promised {PROMISE.monthly:,.2f} {PROMISE.account.currency} a month for "
        f"{PROMISE.percent}% off {PROMISE.family}; what October lacked is a line of its own.",
        f"{named(TAKEN.account)} took the offer {TAKEN.title}: an entitlement with prices of its own for tokens.",
        f"{named(WELCOME.account)} has {WELCOME.percent}% off its whole invoice, {WELCOME.uses} times.",
        f"{_short(settling.PAID_BY_CARD)} pays by card, which declined first and paid when it was asked again (a "
        "sandbox in place of a provider: no money moves).",
        f"{_short(settling.PAID)} paid by transfer; {_short(settling.PAID_IN_PART)} paid half and is past due; "
        f"a credit note takes back what {_short(settling.CREDITED)} was billed.",
        f"{named(CONVERTED)} pays in {CONVERTED.currency}, for which there is no price list: the one in "
        f"{DEFAULT_CURRENCY} is converted.",
    ]


def _short(account: str) -> str:
    return account.removeprefix("organization-")
