"""`milo-billing generate`: the files of a checkout that are made from others.

A generator is a path and a function that says what the file must contain. With `check`, nothing is written: a tidy test
fails on a file that differs, so what is generated cannot drift from what it is made from.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cyclopts import App

from milo_billing.app.jobs_schema import replace_jobs_section
from milo_billing.controlplane import openapi
from milo_billing.controlplane.kinds import Registry
from milo_billing.kernel.errors import MiloError

ROOT = Path(__file__).parents[3]

Generator = Callable[[], str]


class NotACheckout(MiloError):
    """Generated files belong into a checkout of the sources."""


def generators(commands: App) -> Mapping[Path, Generator]:
    """What is generated, in order: a later generator may read what an earlier one wrote."""
    from milo_billing.app.client_types import render_client_types
    from milo_billing.app.currencies_table import render_currencies
    from milo_billing.app.event_reference import render_event_reference
    from milo_billing.app.manifests import render_manifests
    from milo_billing.app.price_curves import read_examples, render_curve
    from milo_billing.app.reference import render_command_reference, render_kind_reference
    from milo_billing.app.wiring import build_registry

    registry, page = build_registry(), ROOT / "docs" / "pricing.md"
    curves = {
        page.parent / "curves" / one.file: partial(render_curve, page, one.file)
        for one in read_examples(page.read_text())
    }
    package = ROOT / "src" / "milo_billing"
    return {
        ROOT / "db" / "schema.sql": _schema,
        ROOT / "db" / "migrations" / "0001_pre_initial.sql": _initial_migration,
        package / "kernel" / "currencies.py": render_currencies,
        package / "client" / "generated.py": lambda: render_client_types(_documents(registry)),
        ROOT / "deploy" / "kubernetes" / "kinds.yaml": lambda: render_manifests(registry),
        ROOT / "docs" / "reference" / "kinds.md": lambda: render_kind_reference(registry),
        ROOT / "docs" / "reference" / "events.md": render_event_reference,
        ROOT / "docs" / "reference" / "commands.md": lambda: render_command_reference(commands),
        **curves,
    }


def _documents(registry: Registry) -> list[dict[str, Any]]:
    return [
        openapi.document(registry, group, version)
        for group, versions in registry.groups.items()
        for version in versions
    ]


def _schema() -> str:
    return replace_jobs_section((ROOT / "db" / "schema.sql").read_text())


def _initial_migration() -> str:
    """Until the first release there is one migration: the whole schema."""
    return "-- Generated from db/schema.sql by `./task generate`. Do not edit.\n\n" + _schema()


def generate(*, commands: App, check: bool) -> tuple[Path, ...]:
    """Write every generated file that differs; with `check` only find them. Their paths in the checkout."""
    if not (ROOT / "pyproject.toml").exists():
        raise NotACheckout(f"{ROOT} is no checkout of the sources: run ./task generate in one")
    changed: list[Path] = []
    for path, render in generators(commands).items():
        text = render()
        if path.exists() and path.read_text() == text:
            continue
        changed.append(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tuple(changed)
