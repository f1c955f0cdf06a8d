"""Manifests, and the three-way merge of apply."""

import json
from pathlib import Path
from typing import Any

import pytest

from milo_billing.client.errors import UnableToReadManifest
from milo_billing.client.manifests import (
    LAST_APPLIED,
    last_applied,
    list_files,
    read_manifests,
    three_way_patch,
    with_last_applied,
)

TWO = """\
apiVersion: v1
kind: A
metadata: {name: one}
---
---
apiVersion: v1
kind: A
metadata: {name: two}
"""


def test_every_document_of_a_file_is_read_and_empty_ones_are_not():
    assert [m["metadata"]["name"] for m in read_manifests(TWO, where="two.yaml")] == ["one", "two"]


def test_a_list_is_taken_apart():
    items = [{"apiVersion": "v1", "kind": "A", "metadata": {"name": name}} for name in ("one", "two")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert read_manifests(text, where="list.json") == tuple(items)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("kind: A\nmetadata: {name: x}", "lacks apiVersion"),
        ("apiVersion: v1\nkind: A", "lacks metadata.name"),
        ("hello", "A manifest is a mapping"),
        ("a: [", "This is not YAML"),
    ],
)
def test_a_manifest_that_lacks_something_says_what(text: str, what: str):
    with pytest.raises(UnableToReadManifest, match=what) as caught:
        read_manifests(text, where="bad.yaml")
    assert "bad.yaml" in caught.value.where


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path):
    (tmp_path / "2.yaml").write_text("apiVersion: v1\nkind: A\nmetadata: {name: second}")
    (tmp_path / "1.json").write_text('{"apiVersion": "v1", "kind": "A", "metadata": {"name": "first"}}')
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert [file.name for file in list_files(tmp_path)] == ["1.json", "2.yaml"]


def test_a_folder_without_manifests_and_a_missing_file_are_refused(tmp_path: Path):
    with pytest.raises(UnableToReadManifest, match="holds no manifest"):
        list_files(tmp_path)
    with pytest.raises(UnableToReadManifest, match="no such file"):
        list_files(tmp_path / "absent.yaml")


def test_the_annotation_carries_the_manifest_without_itself():
    manifest = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "x"}, "spec": {"a": 1}}
    written = with_last_applied(manifest)
    assert last_applied(written) == manifest
    assert with_last_applied(written) == written  # applying what was read back changes nothing


def test_an_annotation_that_is_no_json_counts_as_none():
    assert last_applied({"metadata": {"annotations": {LAST_APPLIED: "{"}}}) == {}


@pytest.mark.parametrize(
    ("previous", "wanted", "live", "patch"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1}, {"b": None}),  # removed from the manifest
        ({"a": 1, "b": 1}, {"a": 1}, {"a": 1}, {}),  # somebody else removed it already
        ({}, {"a": 1}, {"a": 1, "theirs": 1}, {}),  # what others set stays
        ({"m": {"x": 1}}, {"m": {"y": 1}}, {"m": {"x": 1, "z": 1}}, {"m": {"x": None, "y": 1}}),
        ({"l": [1, 2]}, {"l": [1]}, {"l": [1, 2]}, {"l": [1]}),  # lists are replaced whole
        ({"m": {"x": 1}}, {"m": {"x": 1}}, {"m": 5}, {"m": {"x": 1}}),
    ],
)
def test_the_patch_says_only_what_differs(
    previous: dict[str, Any], wanted: dict[str, Any], live: dict[str, Any], patch: dict[str, Any]
):
    assert three_way_patch(previous=previous, wanted=wanted, live=live) == patch
