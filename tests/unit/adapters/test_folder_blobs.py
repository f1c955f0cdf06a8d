"""A folder as a blob store: a file is there whole, or not at all."""

from pathlib import Path

import pytest

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.usage.ports import BlobMissing, BlobStore

NAME = "usage/2026/a.parquet"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return FolderBlobs(tmp_path / "archive")


def test_what_was_written_is_read_and_can_be_replaced_and_deleted(blobs: BlobStore):
    for content in ("first", "second"):
        with blobs.writing(NAME) as path:
            path.write_text(content)
        with blobs.reading(NAME) as path:
            assert path.read_text() == content
    blobs.delete(NAME)
    blobs.delete(NAME)
    with pytest.raises(BlobMissing), blobs.reading(NAME):
        raise AssertionError("nothing is there")


def test_a_failure_leaves_what_was_there_and_nothing_else(blobs: BlobStore, tmp_path: Path):
    with blobs.writing(NAME) as path:
        path.write_text("whole")
    with pytest.raises(OSError, match="full"), blobs.writing(NAME) as path:
        path.write_text("ha")
        raise OSError("the disk is full")
    with blobs.reading(NAME) as path:
        assert path.read_text() == "whole"
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["a.parquet"]


def test_what_a_killed_writer_left_behind_does_not_spoil_the_next(blobs: BlobStore, tmp_path: Path):
    left = tmp_path / "archive" / (NAME + ".part")
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with blobs.writing(NAME) as path:
        assert not path.exists()
        path.write_text("whole")
    assert not left.exists()


@pytest.mark.parametrize("name", ["", "../x", "/x", "a//b", "A", "a/.hidden"])
def test_names_stay_within_the_folder(blobs: BlobStore, name: str):
    with pytest.raises(ValueError, match="no name"), blobs.reading(name):
        raise AssertionError("nothing is there")
