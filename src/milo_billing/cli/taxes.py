"""Commands on taxes: bring in rates, check VAT numbers."""

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import format_error, write, write_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.bulk import apply_all
from milo_billing.client.errors import UnableToImport
from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects
from milo_billing.client.streams import Located
from milo_billing.client.taxes import check_vat_number
from milo_billing.invoicing.rules.tax_lists import Plan, TaxList, UnableToReadRates, plan, read_list

CHANGES_SHOWN = 20
"""Lines of the diff, unless all are asked for."""

_Flag = Parameter(negative=())

tax = App(name="tax", help="Taxes: bring in rates, check VAT numbers.")


@tax.command(
    name="import",
    help_epilogue="Examples:\n\n"
    "  milo-billing tax import eu_vat_rates_with_periods.json --dry-run\n\n"
    "  milo-billing tax import eu_vat_rates_with_periods.json --since 2026-01-01",
)
def import_(
    file: Path,
    /,
    *,
    since: date | None = None,
    all_categories: Annotated[bool, _Flag] = False,
    dry_run: Annotated[bool, _Flag] = False,
    all_changes: Annotated[bool, Parameter(name="--all", negative=())] = False,
    target: Target = DEFAULT,
) -> int:
    """Make TaxRates of a public list of tax rates by country and period, and show what that changes.

    Importing the same again changes nothing. Where a rate stands with another percentage, nothing is changed at all.
    Rates of other taxes and regions stay.

    Parameters
    ----------
    file
        rates.json of ibericode/vat-rates, sales_tax_rates.json of node-sales-tax (the world, with regions), or
        vat_rates.csv of kdeldycke/vat-rates (since VAT began), or a file of one of these forms.
    since
        Leave out rates that ended on this day or before, YYYY-MM-DD.
    all_categories
        Bring in reduced rates too, for Skus of taxCategory reduced, reduced1, super-reduced, parking.
    dry_run
        Show what would change, and change nothing.
    all_changes
        Show every change, not the first 20.
    """
    with target.reporting():
        listed = _read(file, since=since, all_categories=all_categories)
        with target.open() as api:
            objects = Objects(api)
            planned = plan(listed.rates, list(objects.list(objects.find_kind("taxrates"))))
            if target.structured:
                target.write(_report(planned, listed))
            else:
                _show(planned, listed, all_changes=all_changes)
            if planned.conflicts:
                first = planned.conflicts[0]
                raise UnableToImport(
                    f"{len(planned.conflicts):,} rates stand with another percentage, so nothing was changed.",
                    where=f"taxrates/{first.name}: {first.old}, listed {first.new}",
                    next_step="Look which is right; delete the TaxRate if the list is, then import again.",
                )
            if dry_run or not planned.manifests:
                return 0
            return _apply(api, planned, file=file, target=target)


@tax.command(
    name="check",
    help_epilogue="Examples:\n\n"
    "  milo-billing tax check organization-acme/main\n\n"
    '  milo-billing tax check organization-acme/main --valid --source "VIES web page" --reference WAPIAAAAY1',
)
def check(
    account: str,
    /,
    *,
    valid: bool | None = None,
    source: str = "",
    reference: str = "",
    target: Target = DEFAULT,
) -> int:
    """Have the VAT number of an account checked, or note what you were told of it. Exits 1 where it is not valid.

    From the next invoice on a business elsewhere in the European Union whose number is valid owes the tax itself.

    Parameters
    ----------
    account
        namespace/name of the billing account.
    valid
        What you were told; without it the server asks the register that its settings name (MILO_BILLING_VIES_URL).
    source
        Who told you; with --valid or --no-valid.
    reference
        What proves that you asked, such as the consultation number of VIES.
    """
    with target.open() as api:
        found = check_vat_number(api, account=account, valid=valid, source=source, reference=reference)
    if target.structured:
        target.write(found)
    else:
        proof = f", reference {found['reference']}" if found["reference"] else ""
        said = "valid" if found["valid"] else "not valid"
        write(
            f"{found['account']}: the VAT number is {said} ({found['source']}, {found['checkedAt']}{proof})"
        )
    return 0 if found["valid"] else EXIT_FAILED


def _read(file: Path, *, since: date | None, all_categories: bool) -> TaxList:
    try:
        return read_list(file.read_bytes(), since=since, all_categories=all_categories)
    except OSError as error:
        raise UnableToImport(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    except UnableToReadRates as error:
        raise UnableToImport(
            f"{error}.",
            where=str(file),
            next_step="Take rates.json of ibericode/vat-rates, or another list that docs/tax.md names.",
        ) from error


def _show(planned: Plan, listed: TaxList, *, all_changes: bool) -> None:
    shown = planned.changes if all_changes else planned.changes[:CHANGES_SHOWN]
    if shown:
        write_table(
            ["From", "Change", "Country", "Category", "Old", "New"],
            [[one.starts_on, one.kind, one.country, one.category, one.old, one.new] for one in shown],
        )
    if len(shown) < len(planned.changes):
        write(
            f"… and {len(planned.changes) - len(shown):,} more; --all shows them, --output json or yaml too"
        )
    kinds = [one.kind for one in planned.changes]
    write(
        f"{kinds.count('added'):,} added, {kinds.count('ended'):,} with another end, {len(planned.conflicts):,} in the "
        f"way, {planned.unchanged:,} unchanged"
    )
    _say_left_out(listed.left_out)


def _say_left_out(parts: Sequence[str]) -> None:
    if parts:
        write(
            f"left out {len(parts):,} parts of countries that are told by postcode, such as {parts[0]}: those outside "
            "the Union's VAT count as abroad, the others as the rest of their country (docs/tax.md)"
        )


def _report(planned: Plan, listed: TaxList) -> dict[str, object]:
    return {
        "unchanged": planned.unchanged,
        "leftOut": list(listed.left_out),
        "changes": [
            {
                "name": one.name,
                "change": one.kind,
                "country": one.country,
                "taxCategory": one.category,
                "startsOn": one.starts_on,
                "old": one.old or None,
                "new": one.new,
            }
            for one in planned.changes
        ],
    }


def _apply(api: ApiClient, planned: Plan, *, file: Path, target: Target) -> int:
    documents = [Located(f"{file}, made of it", each, 0) for each in planned.manifests]
    done = 0
    with Rate(verb="applied", unit="tax rates", silent=target.structured) as rate:
        for each in apply_all(api, documents, namespace=None, keep_going=False, show=False):
            if each.error is not None:
                sys.stderr.write(format_error(each.error))
                sys.stderr.write(
                    f"stopped after {done:,} of {len(documents):,}; importing again goes on there\n"
                )
                return EXIT_FAILED
            done += 1
            rate.show(done, part=done / len(documents))
    if not target.structured:
        write(f"applied {done:,} tax rates")
    return 0
