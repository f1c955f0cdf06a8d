"""Commands on declared objects: apply, get, delete."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import write, write_json, write_server_table
from milo_billing.cli.target import DEFAULT, Namespace, Target
from milo_billing.client.errors import ClientError, UnableToReadManifest
from milo_billing.client.http import JSON
from milo_billing.client.manifests import Manifest, read_manifest_files, read_manifests
from milo_billing.client.objects import Objects

_Files = Annotated[
    list[str],
    Parameter(
        name=["--filename", "-f"],
        negative=(),
        allow_leading_hyphen=True,  # for "-"
        help="A file, a folder, or - for standard input; repeatable.",
    ),
]


def apply(*, filename: _Files, namespace: Namespace = None, target: Target = DEFAULT) -> None:
    """Create or change objects so that they are as the manifests say."""
    done: list[JSON] = []
    with target.open() as api:
        objects = Objects(api)
        for manifest in _read(filename):
            try:
                applied = objects.apply(manifest, namespace=namespace)
            except ClientError as error:
                name = manifest["metadata"].get("name") or manifest["metadata"].get("generateName")
                error.where = error.where or f"{manifest['kind']} {name}"
                raise
            done.append(applied.object)
            if not target.json:
                write(f"{applied.reference} {applied.outcome}")
    if target.json:
        write_json(done)


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
        if not target.json:
            table = objects.table(info, namespace=namespace, name=name, selector=selector)
            write_server_table(table, namespaces=info.namespaced and namespace is None)
        elif name is not None:
            write_json(objects.get(info, name, namespace=namespace))
        else:
            items = list(objects.list(info, namespace=namespace, selector=selector))
            write_json({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})


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
    if target.json:
        write_json(answer)
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
        "  cat *.yaml | milo-billing apply -f - -n organization-acme",
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


def _read(filenames: list[str]) -> list[Manifest]:
    manifests: list[Manifest] = []
    for filename in filenames:
        if filename == "-":
            manifests += read_manifests(sys.stdin.read(), where="standard input")
        else:
            manifests += read_manifest_files(Path(filename))
    return manifests
