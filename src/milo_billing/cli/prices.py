"""Commands on prices."""

from typing import Annotated, cast

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_table
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.http import JSON
from milo_billing.client.prices import explain_price

price = App(name="price", help="How a price comes about.")


@price.command(
    help_epilogue="Example:\n\n  milo-billing price explain --account organization-acme/main --sku tokens "
    "--quantity 18059974 --at 2026-10-15"
)
def explain(
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    *,
    sku: str,
    quantity: str,
    at: str | None = None,
    target: Target = DEFAULT,
) -> int:
    """Show every step from a quantity to an amount: which price book answers and why, units, tiers, bounds, currency.

    Nothing is charged. Exits 1 where nothing prices the Sku.

    Parameters
    ----------
    sku
        The name of the Sku.
    quantity
        In the unit of the Sku's meter, as if it were all that the rating period meters.
    at
        A day of the account's zone, YYYY-MM-DD, or a timestamp; now when not given.
    """
    with target.open() as api:
        found = explain_price(api, account=account, sku=sku, quantity=quantity, at=at)
    if target.structured:
        target.write(found)
    else:
        _write(found)
    return EXIT_FAILED if found["price"] is None else 0


def _write(found: JSON) -> None:
    period = found["period"]
    write(
        f"{found['sku']} for {found['account']} on {found['day']}, in the rating period from {period['firstDay']} "
        f"up to {period['endDay']}"
    )
    write("")
    candidates = cast("list[JSON]", found["candidates"])
    write_table(
        ["", "Source", "Price book", "Version", "Currency", "By", "Why"],
        [
            [
                "→" if one["chosen"] else "",
                one["source"],
                one["priceBook"],
                one["effectiveFrom"] or "-",
                one["currencyCode"],
                one["by"] or "-",
                one["reason"],
            ]
            for one in candidates
        ],
    )
    write("")
    if found["price"] is None:
        write("nothing prices this Sku on this day: its usage would be reported as unpriced")
        return
    _write_steps(found)


def _write_steps(found: JSON) -> None:
    cost, amounts = cast("JSON", found["price"]), cast("JSON", found["quantity"])
    currency = cost["currencyCode"]
    write(f"Price      {cost['model']}, in force from {cost['firstDay']} up to {cost['endDay']}")
    write(
        f"Units      {amounts['metered']} {amounts['meterUnit']} × {amounts['unitFactor']} = {amounts['converted']} "
        f"{amounts['pricingUnit']}"
    )
    if (rounding := amounts["rounding"]) is not None:
        write(f"Rounded    {rounding['mode']} to {rounding['decimals']} decimals: {amounts['charged']}")
    write(f"Included   {amounts['included']}, leaves {amounts['billable']}")
    for bound in ("minimum", "maximum"):
        if cost[bound] is not None:
            write(f"{bound.capitalize():<10} {cost[bound]} {currency} a rating period")
    write("")
    parts = cast("list[JSON]", found["parts"])
    converted = found["conversion"] is not None
    write_table(
        [
            "Part",
            "Tier",
            "Quantity",
            "Unit price",
            "Exact",
            currency,
            *([found["currencyCode"]] if converted else []),
        ],
        [
            [
                part["kind"],
                part["tier"] or "",
                part["quantity"] or "",
                part["unitPrice"] or "",
                part["exact"] or "",
                part["amount"],
                *([part["converted"]] if converted else []),
            ]
            for part in parts
        ],
        right=["Tier", "Quantity", "Unit price", "Exact", currency, found["currencyCode"]],
    )
    write("")
    if converted:
        rate = cast("JSON", found["conversion"])
        write(
            f"Converted  {rate['amount']} {rate['from']} at {rate['rate']} {rate['to']} each, published {rate['day']} "
            f"by {rate['source']}; each part is rounded once, in {rate['to']}"
        )
    write(f"Amount     {found['amount']} {found['currencyCode']}")
