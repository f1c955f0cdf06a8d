"""Commands on the catalog: import of public price lists.

Owns: the conversation with the server and what is printed. Not: what a list means (catalog.rules.importing).
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import App, Parameter

from milo_billing.catalog.rules.importing.formats import Format, read_price_list
from milo_billing.catalog.rules.importing.planning import Change, Plan, Standing, plan
from milo_billing.catalog.rules.importing.reading import UnableToReadPrices
from milo_billing.catalog.rules.importing.values import PriceList, Problem
from milo_billing.cli import clock
from milo_billing.cli.output import format_error, write, write_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Target
from milo_billing.client.bulk import apply_all
from milo_billing.client.errors import ClientError, UnableToImport
from milo_billing.client.http import ApiClient
from milo_billing.client.objects import Objects
from milo_billing.client.streams import Located

CHANGES_SHOWN = 20
"""Lines of the diff for each kind of change, unless all are asked for."""
PROBLEMS_SHOWN = 10

_Flag = Parameter(negative=())

catalog = App(name="catalog", help="What is sold: import price lists.")


@catalog.command(
    name="import",
    help_epilogue="Examples:\n\n"
    "  milo-billing catalog import prices.json --format llm --dry-run\n\n"
    "  milo-billing catalog import prices.json --format llm --book list --effective-from 2026-10-01\n\n"
    "  milo-billing catalog import oci.json --format oci --currency EUR --write catalog.yaml\n\n"
    "  milo-billing catalog import AmazonS3/us-east-1/index.json --format aws --source aws-s3",
)
def import_(
    file: Path,
    /,
    *,
    format: Annotated[Format, Parameter(help="Who publishes such lists; docs/how-to-import-prices.md.")],
    book: str | None = None,
    effective_from: date | None = None,
    currency: str = "USD",
    source: str | None = None,
    dry_run: Annotated[bool, _Flag] = False,
    write_to: Annotated[Path | None, Parameter(name="--write")] = None,
    offline: Annotated[bool, _Flag] = False,
    skip_bad: Annotated[bool, _Flag] = False,
    replace_later: Annotated[bool, _Flag] = False,
    all_changes: Annotated[bool, Parameter(name="--all", negative=())] = False,
    target: Target = DEFAULT,
) -> int:
    """Make meters, Skus and versions of a price book of a public price list, and show what that changes.

    Importing the same again changes nothing. A list with other prices makes the next version of the book; what others
    put into the book stays.

    Parameters
    ----------
    file
        The list as its publisher has it.
    book
        The book's name; when not given, the provider's list book of the currency, or one called after the source.
    effective_from
        First day of the prices, YYYY-MM-DD; today (UTC) when not given. Prices that the list starts later make
        versions of their own.
    currency
        Prices in other currencies are left out.
    source
        What the names of its meters and Skus begin with, so that two lists of one format are told apart; the format
        when not given.
    dry_run
        Show what would change, and change nothing.
    write_to
        Write the manifests to this YAML file instead of applying them.
    offline
        Do not ask the server what stands: everything is new. With --write or --dry-run.
    skip_bad
        Import the other entries where some cannot be read.
    replace_later
        Retire and delete versions of the book that have not begun and have other prices than the list.
    all_changes
        Show every change, not the first 20 of a kind.
    """
    with target.reporting():
        listed = _read(file, format=format, source=source or format, currency=currency)
        if listed.problems and not skip_bad:
            _say(listed.problems, file=file, hint="; --skip-bad imports the other entries")
            return EXIT_FAILED
        wanted = _Import(listed, file, book, effective_from, replace_later, write_to, all_changes, target)
        if offline:
            return wanted.finish_offline(dry_run=dry_run)
        with target.open() as api:
            return wanted.finish_online(api, dry_run=dry_run)


def mount(app: App) -> None:
    """Add these commands to the app."""
    app.command(catalog)


@dataclass(frozen=True, slots=True)
class _Import:
    """A list that was read, and what is wanted of it: the options of the command."""

    listed: PriceList
    file: Path
    book: str | None
    effective_from: date | None
    replace_later: bool
    write_to: Path | None
    all_changes: bool
    target: Target

    def finish_offline(self, *, dry_run: bool) -> int:
        """Show and write what becomes of the list where nothing stands. Raises UnableToImport."""
        if not dry_run and self.write_to is None:
            raise UnableToImport(
                "--offline asks no server, so nothing can be applied.",
                next_step="Add --write FILE or --dry-run.",
            )
        return self._show(self._plan(Standing()))

    def finish_online(self, api: ApiClient, *, dry_run: bool) -> int:
        """Show what would change on the server, then change it, unless it is only to be shown or written."""
        objects = Objects(api)
        planned = self._plan(_standing(objects, currency=self.listed.currency))
        done = self._show(planned)
        if done or dry_run or self.write_to is not None or not planned.manifests:
            return done
        return _apply(api, objects, planned, file=self.file, target=self.target)

    def _plan(self, standing: Standing) -> Plan:
        today = clock.now().date()
        return plan(
            self.listed,
            standing=standing,
            book=self.book or _list_book(standing.books) or self.listed.source,
            effective_from=self.effective_from or today,
            # it is tomorrow already somewhere: what begins then may have begun for an account
            replace_after=today + timedelta(days=1) if self.replace_later else None,
        )

    def _show(self, planned: Plan) -> int:
        """Show the plan and write it where it is wanted; 1 where it cannot be carried out."""
        if planned.problems:
            _say(planned.problems, file=self.file, hint="")
            return EXIT_FAILED
        if self.target.structured:
            self.target.write(_report(planned, self.listed))
        else:
            _show(planned, self.listed, all_changes=self.all_changes)
        if self.write_to is not None:
            _write(planned, self.write_to, silent=self.target.structured)
        return 0


def _read(file: Path, *, format: Format, source: str, currency: str) -> PriceList:
    if not source or not source.replace("-", "").isalnum() or not source.islower():
        raise UnableToImport(
            f"{source!r} cannot begin the name of an object.",
            next_step="Take small letters, digits and dashes for --source.",
        )
    try:
        return read_price_list(file.read_bytes(), format=format, source=source, currency=currency)
    except OSError as error:
        raise UnableToImport(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    except UnableToReadPrices as error:
        where = ": ".join(part for part in (str(file), error.field) if part)
        raise UnableToImport(error.what, where=where, next_step=error.next_step) from error


def _standing(objects: Objects, *, currency: str) -> Standing:
    return Standing(
        meters=list(objects.list(objects.find_kind("meterdefinitions"))),
        skus=list(objects.list(objects.find_kind("skus"))),
        books=list(objects.list(objects.find_kind("pricebooks"), fields=f"spec.currencyCode={currency}")),
    )


def _list_book(books: Sequence[Any]) -> str | None:
    """The provider's list book, of which a currency has one."""
    for one in books:
        spec = one["spec"]
        listed = spec["phase"] == "Published" and spec.get("role", "List") == "List"
        if listed and not spec.get("organizationRef"):
            return str(spec["bookName"])
    return None


def _write(planned: Plan, to: Path, *, silent: bool) -> None:
    try:
        to.write_text(_yaml(planned))
    except OSError as error:
        raise UnableToImport(f"The file cannot be written: {error.strerror}.", where=str(to)) from error
    if not silent:
        write(f"wrote {len(planned.manifests):,} objects to {to}")
        for each in planned.replaced:
            write(f"retire and delete {each['metadata']['name']} before you apply them")


def _yaml(planned: Plan) -> str:
    return yaml.dump_all(planned.manifests, Dumper=yaml.CSafeDumper, sort_keys=False, explicit_start=True)


def _show(planned: Plan, listed: PriceList, *, all_changes: bool) -> None:
    write(
        f"the list has {len(listed.skus):,} Skus on {len(listed.meters):,} meters, in {listed.currency}; "
        f"{len(listed.left_out):,} entries left out, {len(listed.problems):,} bad"
    )
    reasons = Counter(each.reason for each in listed.left_out)
    for reason, count in reasons.most_common(CHANGES_SHOWN if not all_changes else None):
        write(f"  left out {count:,}: {reason}")
    for each in listed.problems:
        write(f"  bad: {each.entry}: {each.field} {each.what}")
    shown = list(_shown(planned.changes, all_changes=all_changes))
    if shown:
        write_table(
            ["From", "Change", "Sku", "Old", "New"],
            [[each.since, each.kind, each.sku, each.old, each.new] for each in shown],
            right=["Old", "New"],
        )
    if len(shown) < len(planned.changes):
        write(
            f"… and {len(planned.changes) - len(shown):,} more; --all shows them, --output json or yaml too"
        )
    counts = Counter(each.kind for each in planned.changes)
    write(
        f"{counts['added']:,} added, {counts['changed']:,} changed, {counts['gone']:,} gone, "
        f"{planned.unchanged:,} unchanged; {planned.kept:,} of others kept"
    )
    for version in planned.versions:
        write(f"version {version.name} from {version.since}: {version.prices:,} prices")
    if not planned.versions:
        write("nothing to do: the book has these prices")


def _shown(changes: Sequence[Change], *, all_changes: bool) -> Iterator[Change]:
    seen: Counter[str] = Counter()
    for each in changes:
        seen[each.kind] += 1
        if all_changes or seen[each.kind] <= CHANGES_SHOWN:
            yield each


def _report(planned: Plan, listed: PriceList) -> dict[str, Any]:
    counts = Counter(each.kind for each in planned.changes)
    return {
        "counts": {
            "added": counts["added"],
            "changed": counts["changed"],
            "gone": counts["gone"],
            "unchanged": planned.unchanged,
            "kept": planned.kept,
            "leftOut": len(listed.left_out),
            "bad": len(listed.problems),
        },
        "versions": [
            {"name": each.name, "effectiveFrom": each.since.isoformat(), "prices": each.prices}
            for each in planned.versions
        ],
        "replaced": [each["metadata"]["name"] for each in planned.replaced],
        "changes": [
            {
                "from": each.since.isoformat(),
                "change": each.kind,
                "sku": each.sku,
                "old": each.old or None,
                "new": each.new or None,
            }
            for each in planned.changes
        ],
        "leftOut": [{"entry": each.entry, "reason": each.reason} for each in listed.left_out],
        "bad": [{"entry": each.entry, "field": each.field, "message": each.what} for each in listed.problems],
    }


def _say(problems: Sequence[Problem], *, file: Path, hint: str) -> None:
    for each in problems[:PROBLEMS_SHOWN]:
        where = ": ".join(part for part in (str(file), each.entry, each.field) if part)
        sys.stderr.write(format_error(UnableToImport(each.what, where=where, next_step=each.next_step)))
    if len(problems) > PROBLEMS_SHOWN:
        sys.stderr.write(f"… and {len(problems) - PROBLEMS_SHOWN:,} more\n")
    sys.stderr.write(f"nothing was changed: {len(problems):,} in the way{hint}\n")


def _apply(api: ApiClient, objects: Objects, planned: Plan, *, file: Path, target: Target) -> int:
    """Send everything over one connection, in the order in which objects need each other."""
    for each in planned.replaced:
        objects.apply(each)
        objects.delete(objects.find_kind("pricebooks"), each["metadata"]["name"])
    documents = [Located(f"{file}, made of it", each, 0) for each in planned.manifests]
    done = 0
    with Rate(verb="applied", unit="objects", silent=target.structured) as rate:
        for each in apply_all(api, documents, namespace=None, keep_going=False, show=False):
            if each.error is not None:
                return _stopped(each.error, done=done, total=len(documents))
            done += 1
            rate.show(done, part=done / len(documents))
    if not target.structured:
        write(f"applied {done:,} objects")
    return 0


def _stopped(error: ClientError, *, done: int, total: int) -> int:
    sys.stderr.write(format_error(error))
    sys.stderr.write(
        f"stopped after {done:,} of {total:,} objects; the book has its old prices until all of them stand\n"
        "  next: mend it and import again, which goes on where this stopped\n"
    )
    return EXIT_FAILED
