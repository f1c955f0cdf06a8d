"""Caches of labels: what is known costs no parsing, and whatever is sent, they stay small."""

import tracemalloc

import pytest

from milo_billing.usage.engine import labels


def test_spellings_of_the_same_labels_lead_to_one_hash():
    cache = labels.dimension_cache()
    raws = [b'{"a":"1","b":"2"}', b'{ "b": "2", "a": "1" }', b"{}", b"null", b"[]"]
    slots = cache.slots(raws)
    hashes = cache.hashes(slots, raws).tolist()
    assert (hashes[0], hashes[2]) == (hashes[1], hashes[3])
    assert slots.tolist()[4] == labels.INVALID


def test_labels_nested_beyond_all_sense_are_no_labels():
    deep = b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    for cache in (labels.dimension_cache(), labels.resource_cache()):
        assert cache.slots([deep, b"{}"]).tolist() == [labels.INVALID, 0]


def test_a_cache_starts_anew_before_long_spellings_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(labels, "CACHED_BYTES_MAX", labels.CACHED_BYTES_MAX // 100)
    cache = labels.dimension_cache()
    kept: list[int] = []
    for n in range(40):
        cache.slots([b'{"%s":"%d"}' % (b"x" * 10_000, n), b'{%s"n":"%d"}' % (b" " * 10_000, n)])
        kept.append(cache.cached_bytes)
    assert max(kept) <= labels.CACHED_BYTES_MAX + 30_000
    assert kept != sorted(kept)


def test_what_a_cache_holds_takes_no_more_memory_than_it_needs():
    cache = labels.resource_cache()
    cache.slots([b'{"uid":"first"}'])
    tracemalloc.start()
    cache.slots([b'{"uid":"%d"}' % n for n in range(2_000)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2_000 * 600
