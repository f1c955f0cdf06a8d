"""The command that asks what usage would cost under other prices and promises."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import yaml
from cyclopts import Parameter

from milo_billing.cli.names import split_name
from milo_billing.cli.output import write, write_table
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


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """What is different from what the account has: prices, commitments and Discounts."""

    book: Annotated[
        str | None,
        Parameter(help="The bookName of a published price book; its versions hold by their days."),
    ] = None
    book_version: Annotated[
        str | None,
        Parameter(help="The name of a PriceBook, also of a draft; it holds on every day that is simulated."),
    ] = None
    book_file: Annotated[
        Path | None,
        Parameter(
            help="A file with a PriceBook that is not declared, as a manifest or its spec alone; it holds on "
            "every day."
        ),
    ] = None
    precedence: Annotated[
        Literal["First", "List", "Only"],
        Parameter(
            help="First: the book is asked before the account's own. List: in place of the list book. Only: no "
            "other is asked."
        ),
    ] = "First"
    commitment: Annotated[
        list[str] | None, Parameter(negative=(), help="Accept this offered commitment; repeatable.")
    ] = None
    commitment_file: Annotated[
        list[Path] | None,
        Parameter(negative=(), help="A file with a Commitment that is not declared; repeatable."),
    ] = None
    discount: Annotated[
        list[str] | None,
        Parameter(negative=(), help="The name of another account's Discount in the namespace; repeatable."),
    ] = None
    discount_file: Annotated[
        list[Path] | None,
        Parameter(negative=(), help="A file with a Discount that is not declared; repeatable."),
    ] = None
    without: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="Leave out commitment/<name> or discount/<name> of the account; repeatable."
        ),
    ] = None

    def fields(self) -> JSON:
        """The fields of the request, with what is in the files. Raises ClientError for a file that cannot be read."""
        return {
            "priceBook": None if self.book_file is None else _read(self.book_file, kind="PriceBook")["spec"],
            "priceBookRef": {"name": self.book, "version": self.book_version}
            if self.book or self.book_version
            else None,
            "precedence": self.precedence,
            "commitments": _supposed(self.commitment, self.commitment_file, kind="Commitment"),
            "discounts": _supposed(self.discount, self.discount_file, kind="Discount"),
            "without": [_left_out(one) for one in self.without or ()],
        }


_AS_IT_IS: Final = Supposed()


def simulate(
    account: Annotated[str, Parameter(help="namespace/name of the billing account.")],
    *,
    month: str | None = None,
    first: Annotated[str | None, Parameter(name="--from")] = None,
    last: Annotated[str | None, Parameter(name="--to")] = None,
    supposed: Supposed = _AS_IT_IS,
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
    """
    with target.open() as api:
        namespace, name = split_name(account)
        given: JSON = {
            "billingAccountRef": {"namespace": namespace, "name": name},
            "month": month,
            "from": first,
            "to": last,
            **supposed.fields(),
        }
        answer = ask(api, {key: value for key, value in given.items() if value is not None})
    if target.structured:
        target.write(answer)
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
