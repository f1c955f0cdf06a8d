"""Manifests are read one by one, whatever the format."""

import io
import json
import tracemalloc

import pytest

from milo_billing.client.streams import Located, Unreadable, read_stream


def manifest(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "A",
        "metadata": {"name": name},
        "spec": {"at": "2026-10-01T00:00:00Z"},
    }


YAML = (
    "# two\napiVersion: v1\nkind: A\nmetadata: {name: one}\nspec: {at: 2026-10-01T00:00:00Z}\n---\n---\n"
    "apiVersion: v1\nkind: A\nmetadata: {name: two}\nspec: {at: 2026-10-01T00:00:00Z}\n"
)
BOTH = [manifest("one"), manifest("two")]


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        "\n" + "\n".join(json.dumps(m) for m in BOTH),
        json.dumps(BOTH),
        json.dumps(BOTH, indent=2),
        json.dumps({"apiVersion": "v1", "kind": "List", "items": BOTH}),
        json.dumps({"apiVersion": "v1", "kind": "List", "items": BOTH}, indent=2),
        "\n---\n".join(json.dumps(m, indent=1) for m in BOTH),
    ],
    ids=["yaml", "lines", "array", "array over lines", "List", "List over lines", "JSON as YAML documents"],
)
def test_every_format_gives_the_same_manifests(text: str):
    found = list(read_stream(io.BytesIO(text.encode()), where="f"))
    assert [r.manifest for r in found if isinstance(r, Located)] == BOTH
    assert found[-1].read_bytes == len(text.lstrip("\n"))


def test_a_document_that_lacks_something_is_named_and_the_next_is_read():
    text = "\n".join([json.dumps({"kind": "A"}), json.dumps(manifest("two"))])
    first, second = read_stream(io.BytesIO(text.encode()), where="f.jsonl")
    assert isinstance(first, Unreadable) and first.error.where == "f.jsonl, document 1"
    assert isinstance(second, Located) and second.where == "f.jsonl, document 2"


@pytest.mark.parametrize("rest", ["a: [", '{"a": 1}\n{"a"', "[{}, 1", '[{"a": 1}] x', "a: \xff\x00"])
def test_what_cannot_be_read_ends_the_file_with_an_error(rest: str):
    *_, last = read_stream(io.BytesIO(rest.encode("latin-1")), where="f")
    assert isinstance(last, Unreadable)
    assert "neither YAML nor JSON" in str(last.error) or "is a mapping" in str(last.error)


@pytest.mark.parametrize("begin", ["yaml", "lines", "array"])
def test_memory_does_not_grow_with_the_file(begin: str):
    bodies = {
        "yaml": "---\napiVersion: v1\nkind: A\nmetadata: {name: x}\n" * 2_000,
        "lines": (json.dumps(manifest("x")) + "\n") * 2_000,
        "array": "[" + ",".join([json.dumps(manifest("x"))] * 2_000) + "]",
    }
    file = io.BytesIO(bodies[begin].encode())
    tracemalloc.start()
    count = sum(isinstance(read, Located) for read in read_stream(file, where="f"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2_000
    assert peak < 700_000
