"""An invoice before it is one, and how a line of one came about."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, cast

from cyclopts import Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.http import JSON
from milo_billing.client.previews import preview_invoice

PREVIEW_HELP: Final = (
    "Examples:\n\n"
    "  milo-billing invoices preview --account organization-acme/main\n\n"
    "  milo-billing invoices preview --account organization-acme/main --month 2026-10 --by project"
)

_OWN: Final = "(the account's own)"
_PROMISED: Final = "(commitments)"


def preview(
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    *,
    month: str | None = None,
    by: Literal["sku", "project"] = "sku",
    target: Target = DEFAULT,
) -> None:
    """Show an account's invoice as it stands now, with what would keep it from being issued. Nothing is written.

    Parameters
    ----------
    month
        YYYY-MM: the invoice that holds it; the running one when not given.
    by
        How what is owed is grouped: by Sku with its projects, or by project with its Skus.
    """
    with target.open() as api:
        namespace, name = split_name(account)
        found = preview_invoice(api, account=f"{namespace}/{name}", month=month, by=by)
    if target.structured:
        target.write(found)
    else:
        _write(found)


def described(line: JSON) -> str:
    """What the line charges for, behind the sub-account that used it, if there is one."""
    account = line.get("subAccount")
    return f"{account}: {line['description']}" if account else line["description"]


def _write(found: JSON) -> None:
    said = "provisional, as of" if found["provisional"] else "the period is over; as of"
    write(f"{found['account']} from {found['firstDay']} up to {found['endDay']} ({said} {found['at']})")
    if found["invoicedWith"] is not None:
        write(f"a section of the invoice of {found['invoicedWith']}")
    for invoice in cast("list[JSON]", found["invoices"]):
        write(f"invoiced already: {invoice['number']} over {invoice['total']} {found['currencyCode']}")
    write("")
    write_table(
        ["Line", "Kind", "Description", "Quantity", "Unit", "Amount"],
        [
            [
                line["line"],
                line["kind"],
                described(line),
                line["quantity"],
                line["pricingUnit"],
                line["amount"],
            ]
            for line in cast("list[JSON]", found["lines"])
        ],
        right=["Line", "Quantity", "Amount"],
    )
    if found["linesLeft"]:
        write(f"… and {found['linesLeft']} more lines")
    write("")
    currency = found["currencyCode"]
    totals = [
        ("Subtotal", f"{found['subtotal']} {currency}"),
        ("Discounts", f"{found['discounts']} {currency}"),
    ]
    for tax in cast("list[JSON]", found["tax"]):
        totals.append((tax_name(tax), f"{tax['amount']} {currency} on {tax['basis']}"))
    if found["untaxed"] is not None:
        totals.append(("Tax", f"cannot be told: {found['untaxed']}"))
    totals.append(("Total", f"{found['total']} {currency}"))
    for field, label in (("goodwill", "Goodwill"), ("prepaidCredit", "Prepaid")):
        if found[field].strip("0."):
            totals.append((label, f"-{found[field]} {currency}"))
    if found["amountDue"] != found["total"]:
        totals.append(("Due", f"{found['amountDue']} {currency}"))
    for back in cast("list[JSON]", found["givenBack"]):
        totals.append(("Credit note", f"{back['amount']} {currency} before tax, off {back['invoice']}"))
    width = max(len(label) for label, _ in totals)
    for label, value in totals:
        write(f"{label:<{width}}  {value}")
    _write_shares(found)
    for rate in cast("list[JSON]", found["rates"]):
        until = ", until a later one is published" if rate["provisional"] else ""
        write("")
        write(f"Rate: 1 {rate['currencyCode']} = {rate['rate']}, {rate['source']} of {rate['day']}{until}")
    _write_unpriced(cast("JSON", found["unpriced"]))


def tax_name(tax: Mapping[str, object]) -> str:
    """What takes it and how much, or why nothing is taken."""
    if tax["category"] in ("S", "Z"):
        return f"{tax['name']} {tax['percent']} % ({tax['place']})"
    return f"{tax['reason']} ({tax['category']})"


def _write_shares(found: JSON) -> None:
    outer, inner = ("sku", "project") if found["by"] == "sku" else ("project", "sku")
    missing = {"sku": _PROMISED, "project": _OWN}
    rows: list[list[object]] = []
    for group in cast("list[JSON]", found["shares"]["items"]):
        rows.append([group[outer] or missing[outer], "", group["amount"]])
        for cell in cast("list[JSON]", group[f"{inner}s"]):
            name = f"({cell['others']} others)" if "others" in cell else cell[inner] or missing[inner]
            rows.append(["", name, cell["amount"]])
    others = cast("JSON", found["shares"]["others"])
    if others["count"]:
        rows.append([f"({others['count']} others)", "", others["amount"]])
    if rows:
        write("")
        write_table([outer.capitalize(), inner.capitalize(), "Owed"], rows, right=["Owed"])


def _write_unpriced(unpriced: JSON) -> None:
    rows = [
        [
            one["meterName"],
            one["project"],
            ",".join(f"{k}={v}" for k, v in one["dimensions"].items()),
            one["sum"],
        ]
        for one in unpriced["usage"]
    ]
    rows += [[one["sku"], "", one["day"], ""] for one in unpriced["skus"]]
    if rows:
        write("")
        write("Without a price (no invoice is issued until a price book has one):")
        write_table(["Meter or Sku", "Project", "Dimensions or day", "Sum"], rows, right=["Sum"])


def write_explanation(found: JSON, *, target: Target) -> int:
    """Write the steps of a line; the exit code says whether it comes out the same again."""
    same = found["recomputed"] == "same"
    if target.structured:
        target.write(found)
        return 0 if same else EXIT_FAILED
    book = cast("JSON | None", found["priceBook"])
    by = "" if book is None else f", by {book['bookName']} from {book['effectiveFrom']}"
    write(
        f"Line {found['line']} of {found['invoice']}: {found['description']}, {found['kind']}, from "
        f"{found['firstDay']} up to {found['endDay']}{by}"
    )
    write("")
    for number, step in enumerate(cast("list[JSON]", found["steps"]), start=1):
        write(f"{number:>3}. {step['text']}")
    shares = cast("list[JSON]", found["shares"])
    if any(share["project"] for share in shares):
        write("")
        write_table(
            ["Project", "Dimensions", "Metered", "Quantity", "Amount"],
            [
                [
                    share["project"] or _OWN,
                    ",".join(f"{key}={value}" for key, value in share["dimensions"].items()),
                    share["metered"],
                    share["quantity"],
                    share["amount"],
                ]
                for share in shares
            ],
            right=["Metered", "Quantity", "Amount"],
        )
    write("")
    if same:
        write("recomputed from what was frozen: the same amount")
    else:
        write(f"recomputed from what was frozen: {found['recomputedAmount'] or 'nothing'}, which differs")
    return 0 if same else EXIT_FAILED
