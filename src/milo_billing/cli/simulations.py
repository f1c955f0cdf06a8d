"""The command that asks what usage would cost under other prices and promises."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import yaml
from cyclopts import Parameter

from milo_billing.cli.output import write, write_json, write_table
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON
from milo_billing.client.simulations import simulate as ask

SIMULATE_HELP: Final = (
    "Examples:\n\n"
    "  milo-billing simulate --account organization-acme/main --month 2026-10 --book-file new-prices.yaml\n\n"
    "  milo-billing simulate --account organization-acme/main --from 2026-07 --to 2026-09 --commitment yearly\n\n"
    "  milo-billing simulate --account organization-acme/main --month 2026-10 --without discount/launch"
)

_AMOUNTS: Final = ("Today", "Simulated", "Difference")

_Many = Annotated[list[str] | None, Parameter(negative=())]
_Files = Annotated[list[Path] | None, Parameter(negative=())]


def simulate(
    *,
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    month: str | None = None,
    first: Annotated[str | None, Parameter(name="--from")] = None,
    last: Annotated[str | None, Parameter(name="--to")] = None,
    book: str | None = None,
    book_version: str | None = None,
    book_file: Path | None = None,
    precedence: Literal["First", "List", "Only"] = "First",
    commitment: _Many = None,
    commitment_file: _Files = None,
    discount: _Many = None,
    discount_file: _Files = None,
    without: _Many = None,
    target: Target = DEFAULT,
) -> None:
    """Say what the same usage would cost under another price book, commitments or Discounts, and the difference.

    Nothing is written. Months that still run count with the usage that came in so far.

    Parameters
    ----------
    month
        YYYY-MM, the month in which the billing period starts.
    first
        The first of several months, 12 at most.
    last
        The last of several months.
    book
        The bookName of a published price book; its versions hold by their days.
    book_version
        The name of a PriceBook, also of a draft; it holds on every day that is simulated.
    book_file
        A file with a PriceBook that is not declared, as a manifest or its spec alone; it holds on every day.
    precedence
        First: the book is asked before the account's own. List: in place of the list book. Only: no other is asked.
    commitment
        Accept this offered commitment; repeatable.
    commitment_file
        A file with a Commitment that is not declared; repeatable.
    discount
        The name of another account's Discount in the namespace; repeatable.
    discount_file
        A file with a Discount that is not declared; repeatable.
    without
        Leave out commitment/<name> or discount/<name> of the account; repeatable.
    """
    with target.open() as api:
        namespace, slash, name = account.partition("/")
        if not (slash and namespace and name):
            raise ClientError(
                f"{account!r} is no billing account.",
                next_step="Write namespace/name, as in organization-acme/main.",
            )
        given: JSON = {
            "billingAccountRef": {"namespace": namespace, "name": name},
            "month": month,
            "from": first,
            "to": last,
            "priceBook": None if book_file is None else _read(book_file, kind="PriceBook")["spec"],
            "priceBookRef": {"name": book, "version": book_version} if book or book_version else None,
            "precedence": precedence,
            "commitments": _supposed(commitment, commitment_file, kind="Commitment"),
            "discounts": _supposed(discount, discount_file, kind="Discount"),
            "without": [_left_out(one) for one in without or ()],
        }
        answer = ask(api, {key: value for key, value in given.items() if value is not None})
    if target.json:
        write_json(answer)
    else:
        _write(answer)


def _supposed(names: list[str] | None, files: list[Path] | None, *, kind: str) -> list[JSON]:
    return [*({"name": name} for name in names or ()), *(_read(file, kind=kind) for file in files or ())]


def _read(file: Path, *, kind: str) -> JSON:
    """The name, where it has one, and the spec in a file: a manifest of that kind, or the spec alone."""
    try:
        found: object = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClientError(f"This is not YAML: {error}", where=str(file)) from error
    if not isinstance(found, dict):
        raise ClientError(
            f"The file holds no {kind}.", where=str(file), next_step=f"Write one {kind}, or its spec."
        )
    manifest = cast("JSON", found)
    if "kind" not in manifest:
        return {"spec": manifest}
    if manifest["kind"] != kind:
        raise ClientError(f"The file holds a {manifest['kind']}, not a {kind}.", where=str(file))
    name = cast("JSON", manifest.get("metadata") or {}).get("name")
    return {"spec": manifest.get("spec") or {}, **({"name": name} if name else {})}


def _left_out(text: str) -> JSON:
    kinds = {"commitment": "Commitment", "discount": "Discount"}
    kind, slash, name = text.partition("/")
    if kind.lower() not in kinds or not (slash and name):
        raise ClientError(
            f"{text!r} cannot be left out.", next_step="Write commitment/<name> or discount/<name>."
        )
    return {"kind": kinds[kind.lower()], "name": name}


# ------------------------------------------------------------------------------------------------- the answer


def _write(answer: JSON) -> None:
    periods = cast("list[JSON]", answer["periods"])
    said = " (provisional: usage still comes in)" if answer["provisional"] else ""
    write(
        f"{answer['account']} from {periods[0]['firstDay']} up to {periods[-1]['endDay']}, "
        f"in {answer['currencyCode']}{said}"
    )
    if len(periods) > 1:
        _table("From", [(one["firstDay"], one) for one in periods])
    _rows("Sku", answer["skus"], "sku")
    _rows("Project", answer["projects"], "project")
    charges = cast("list[JSON]", answer["charges"])
    if charges:
        _table("Commitment", [(f"{one['commitment']}: {one['kind']}", one) for one in charges])
    _table("", [("Total", answer["total"])])
    unpriced = cast("JSON", answer["unpriced"])
    for side, when in (("today", "as everything stands"), ("simulated", "in the simulation")):
        _write_unpriced(cast("JSON", unpriced[side]), when)


def _rows(title: str, table: JSON, key: str) -> None:
    rows: list[tuple[Any, JSON]] = [(one[key] or "(the account's own)", one) for one in table["items"]]
    if table["others"]["count"]:
        rows.append((f"({table['others']['count']} others)", table["others"]))
    if rows:
        _table(title, rows)


def _table(title: str, rows: list[tuple[Any, JSON]]) -> None:
    write("")
    write_table(
        [title, *_AMOUNTS],
        [[label, *(amounts[name.lower()] for name in _AMOUNTS)] for label, amounts in rows],
        right=_AMOUNTS,
    )


def _write_unpriced(side: JSON, when: str) -> None:
    """What no price book prices: it costs nothing above, and would stop an invoice."""
    rows = [
        [
            one["meterName"],
            one["project"],
            ",".join(f"{k}={v}" for k, v in one["dimensions"].items()),
            one["sum"],
        ]
        for one in side["usage"]
    ]
    rows += [[one["sku"], "", one["day"], ""] for one in side["skus"]]
    if not rows:
        return
    write("")
    write(f"Without a price {when}:")
    write_table(["Meter or Sku", "Project", "Dimensions or day", "Sum"], rows, right=["Sum"])
