"""Commands on declared objects: apply, get, delete."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import App, Parameter

from milo_billing.cli.output import format_error, write, write_server_table
from milo_billing.cli.progress import Rate
from milo_billing.cli.target import DEFAULT, EXIT_FAILED, Namespace, Target
from milo_billing.client.bulk import Done, apply_all
from milo_billing.client.errors import UnableToReadManifest
from milo_billing.client.http import JSON
from milo_billing.client.manifests import list_files
from milo_billing.client.objects import Objects
from milo_billing.client.streams import Located, Unreadable, count_bytes, read_file, read_stream

_Files = Annotated[
    list[str],
    Parameter(
        name=["--filename", "-f"],
        negative=(),
        allow_leading_hyphen=True,  # for "-"
        help="A file, a folder, or - for standard input; repeatable.",
    ),
]


def apply(
    *,
    filename: _Files,
    namespace: Namespace = None,
    keep_going: Annotated[bool, Parameter(negative=())] = False,
    target: Target = DEFAULT,
) -> int:
    """Create or change objects so that they are as the manifests say.

    Files are YAML with any number of documents, JSON, JSON lines or a JSON array; they are read and sent as a stream,
    over one connection, in their order. Doing it again is safe: what stands already is left as it is.

    Parameters
    ----------
    keep_going
        Go on after a document that fails; without it, the first one ends the command.
    """
    counts: Counter[str] = Counter()
    with target.open() as api, _printed(target=target) as printed:
        total = None if "-" in filename else count_bytes(map(Path, filename))
        documents = _Documents(filename)
        with Rate(verb="applied", unit="objects", silent=target.structured) as rate:
            for done in apply_all(
                api, documents.read(), namespace=namespace, keep_going=keep_going, show=target.structured
            ):
                counts[done.outcome] += 1
                printed(done)
                part = documents.read_before(done.where) + done.read_bytes
                rate.show(counts.total() - counts["failed"], part=part / total if total else None)
    if not counts["failed"]:
        return 0
    _say_failed(counts, keep_going=keep_going)
    return EXIT_FAILED


@contextmanager
def _printed(*, target: Target) -> Generator[Callable[[Done], None]]:
    """Prints what became of each document: a line, or, for programs, the object as an item of a list."""
    first = True

    def write_line(done: Done) -> None:
        if done.error is None:
            write(f"{done.reference} {done.outcome}")

    def write_item(done: Done) -> None:
        nonlocal first
        if done.object is None:
            return
        if target.output == "yaml":
            target.write([done.object])
        else:
            sys.stdout.write("[\n" if first else ",\n")
            sys.stdout.write(orjson.dumps(done.object, option=orjson.OPT_INDENT_2).decode())
        first = False

    def write_done(done: Done) -> None:
        (write_item if target.structured else write_line)(done)
        if done.error is not None:
            sys.stderr.write(format_error(done.error))

    try:
        yield write_done
    finally:
        if target.structured and first:
            write("[]")
        elif target.output == "json":
            write("\n]")


def _say_failed(counts: Counter[str], *, keep_going: bool) -> None:
    good = ", ".join(f"{counts[name]:,} {name}" for name in ("created", "configured", "unchanged"))
    if keep_going:
        sys.stderr.write(f"{counts['failed']:,} failed; {good}\n")
        return
    sys.stderr.write(
        f"stopped at the first failure, after {counts.total() - 1:,} objects: {good}\n"
        "  next: correct it and run the same command again, or go on past it with --keep-going\n"
    )


def get(
    kind: str,
    name: str | None = None,
    /,
    *,
    namespace: Namespace = None,
    selector: Annotated[
        str | None, Parameter(name=["--selector", "-l"], help="Labels, as in tier=gold,stage!=test.")
    ] = None,
    target: Target = DEFAULT,
) -> None:
    """Show one object, or all of a kind.

    Parameters
    ----------
    kind
        As kubectl takes it: billingaccounts, billingaccount, ba, billingaccounts.billing.miloapis.com.
    name
        One object; a namespaced one needs -n.
    """
    with target.open() as api:
        objects = Objects(api)
        info = objects.find_kind(kind)
        if name is not None and info.namespaced and namespace is None:
            raise UnableToReadManifest(
                f"{info.kind} {name!r} is in a namespace.", next_step="Give it: -n organization-<name>."
            )
        if not target.structured:
            table = objects.table(info, namespace=namespace, name=name, selector=selector)
            write_server_table(table, namespaces=info.namespaced and namespace is None)
        elif name is not None:
            target.write(_without_owners(objects.get(info, name, namespace=namespace)))
        else:
            found = objects.list(info, namespace=namespace, selector=selector)
            items = [_without_owners(item) for item in found]
            target.write({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})


def _without_owners(found: JSON) -> JSON:
    """As kubectl shows an object: without the list of who owns which field, so that it can be edited and applied."""
    metadata = {name: value for name, value in found["metadata"].items() if name != "managedFields"}
    return {**found, "metadata": metadata}


def delete(kind: str, name: str, /, *, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Delete one object.

    Parameters
    ----------
    kind
        As in get.
    name
        The object; a namespaced one needs -n.
    """
    with target.open() as api:
        objects = Objects(api)
        info = objects.find_kind(kind)
        if info.namespaced and namespace is None:
            raise UnableToReadManifest(
                f"{info.kind} {name!r} is in a namespace.", next_step="Give it: -n organization-<name>."
            )
        answer = objects.delete(info, name, namespace=namespace)
    if target.structured:
        target.write(answer)
    elif answer.get("kind") == "Status":
        write(f"{info.singular}.{info.group} {name!r} deleted")
    else:
        write(f"{info.singular}.{info.group} {name!r} is being deleted: finalizers still keep it")


def mount(app: App) -> None:
    """Add these commands to the app."""
    app.command(
        apply,
        help_epilogue="Examples:\n\n"
        "  milo-billing apply -f account.yaml\n\n"
        "  cat *.yaml | milo-billing apply -f - -n organization-acme\n\n"
        "  milo-billing apply -f projects.jsonl -f bindings.jsonl --keep-going",
    )
    app.command(
        get,
        help_epilogue="Examples:\n\n"
        "  milo-billing get billingaccounts\n\n"
        "  milo-billing get ba main -n organization-acme --output json",
    )
    app.command(
        delete, help_epilogue="Example:\n\n  milo-billing delete billingaccount main -n organization-acme"
    )


class _Documents:
    """The documents of every file that was named, and how many bytes lie before each file."""

    def __init__(self, filenames: list[str]) -> None:
        self._filenames = filenames
        self._before: dict[str, int] = {}

    def read(self) -> Iterator[Located | Unreadable]:
        before = 0
        for filename in self._filenames:
            if filename == "-":
                # not sys.stdin: the thread that reads may still wait for it when the process ends
                with open(0, "rb", closefd=False) as file:
                    yield from read_stream(file, where="standard input")
                continue
            for file in list_files(Path(filename)):
                self._before[str(file)] = before
                yield from read_file(file)
                before += file.stat().st_size

    def read_before(self, where: str) -> int:
        """The bytes before the file in which a document stands."""
        return self._before.get(where.rpartition(", document ")[0], 0)
