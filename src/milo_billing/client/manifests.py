"""Manifests as people write them: YAML or JSON, many documents a file, many files a folder.

Owns: reading them, and the three-way merge that `apply` needs (the same as kubectl's, with the same
annotation, so that both may be used on one object). Not: sending them (objects).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from milo_billing.client.errors import UnableToReadManifest

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SUFFIXES = (".yaml", ".yml", ".json", ".jsonl")

Manifest = dict[str, Any]


def read_manifests(text: str, *, where: str) -> tuple[Manifest, ...]:
    """Every document of `text`, Lists taken apart, empty documents left out.

    Raises UnableToReadManifest naming the document by its number and what it lacks.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise UnableToReadManifest(f"This is not YAML: {error}", where=where) from error
    manifests: list[Manifest] = []
    for number, document in enumerate(documents, start=1):
        placed = take_apart(document, where=f"{where}, document {number}")
        manifests.extend(manifest for _, manifest in placed)
    return tuple(manifests)


def list_files(path: Path) -> tuple[Path, ...]:
    """The file, or every .yaml, .yml, .json and .jsonl file of a folder in the order of their names.

    Raises UnableToReadManifest where there is none.
    """
    if not path.exists():
        raise UnableToReadManifest("There is no such file or folder.", where=str(path))
    if not path.is_dir():
        return (path,)
    files = tuple(sorted(file for file in path.iterdir() if file.suffix in SUFFIXES))
    if not files:
        raise UnableToReadManifest(
            "The folder holds no manifest.",
            where=str(path),
            next_step="Manifests end in .yaml, .yml, .json or .jsonl.",
        )
    return files


def with_last_applied(manifest: Manifest) -> Manifest:
    """The manifest that carries itself in the annotation from which the next apply sees what was removed."""
    metadata = cast("Manifest", manifest["metadata"])
    annotations = dict(cast("Manifest", metadata.get("annotations") or {}))
    annotations.pop(LAST_APPLIED, None)
    bare_metadata = {**metadata, "annotations": annotations}
    if not annotations:
        del bare_metadata["annotations"]
    text = json.dumps({**manifest, "metadata": bare_metadata}, separators=(",", ":"), sort_keys=True) + "\n"
    return {**manifest, "metadata": {**metadata, "annotations": {**annotations, LAST_APPLIED: text}}}


def last_applied(live: Mapping[str, Any]) -> Manifest:
    """What the previous apply wrote, empty when there was none or the annotation is no JSON."""
    metadata = cast("Manifest", live.get("metadata") or {})
    text = cast("Manifest", metadata.get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        value: object = json.loads(text) if text else {}
    except ValueError:
        return {}
    return cast("Manifest", value) if isinstance(value, dict) else {}


def three_way_patch(
    *, previous: Mapping[str, Any], wanted: Mapping[str, Any], live: Mapping[str, Any]
) -> Manifest:
    """The JSON merge patch from `live` to `wanted`; what `previous` had and `wanted` has not is removed.

    Fields that others set, and that neither manifest names, stay. Lists are replaced whole, as merge patch
    does.
    """
    patch: Manifest = {key: None for key in previous if key not in wanted and key in live}
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            before: object = previous.get(key)
            inner = three_way_patch(
                previous=cast("Manifest", before) if isinstance(before, dict) else {},
                wanted=cast("Manifest", value),
                live=cast("Manifest", live[key]),
            )
            if inner:
                patch[key] = inner
        elif key not in live or live[key] != value:
            patch[key] = value
    return patch


def take_apart(document: object, *, where: str) -> Iterator[tuple[str, Manifest]]:
    """The manifest in a document, or those in a List, each with its place. Raises UnableToReadManifest."""
    if not isinstance(document, dict):
        raise UnableToReadManifest("A manifest is a mapping of fields, this is not.", where=where)
    manifest = cast("Manifest", document)
    if manifest.get("kind") == "List":
        for number, item in enumerate(cast("list[object]", manifest.get("items") or []), start=1):
            yield from take_apart(item, where=f"{where}, item {number}")
        return
    metadata: object = manifest.get("metadata")
    named = isinstance(metadata, dict) and (
        cast("Manifest", metadata).get("name") or cast("Manifest", metadata).get("generateName")
    )
    lacking = [field for field in ("apiVersion", "kind") if not manifest.get(field)]
    if not named:
        lacking.append("metadata.name")
    if lacking:
        raise UnableToReadManifest(
            f"The manifest lacks {', '.join(lacking)}.",
            where=where,
            next_step="Every manifest says apiVersion, kind and metadata.name.",
        )
    yield where, manifest
