from pathlib import Path

from milo_billing.infra.places import (
    SOCKET_PATH_BYTES_MAX,
    Surroundings,
    cache_dir,
    default_data_dir,
    socket_dir,
)

ROOT = Surroundings(root=True, uid=0, home=Path("/root"))
PERSON = Surroundings(root=False, uid=1000, home=Path("/home/ada"))


def test_root_keeps_things_where_the_system_does() -> None:
    assert default_data_dir(ROOT) == Path("/var/lib/milo-billing")
    assert cache_dir(ROOT) == Path("/var/cache/milo-billing")
    assert socket_dir(ROOT, data_dir=Path("/srv/a")).parent == Path("/run/milo-billing")


def test_a_person_gets_the_xdg_folders() -> None:
    chosen = Surroundings(
        root=False,
        uid=1,
        home=Path("/home/ada"),
        data_home=Path("/d"),
        cache_home=Path("/c"),
        runtime_dir=Path("/r"),
    )
    assert default_data_dir(chosen) == Path("/d/milo-billing")
    assert cache_dir(chosen) == Path("/c/milo-billing")
    assert socket_dir(chosen, data_dir=Path("/srv/a")).parent == Path("/r/milo-billing")


def test_without_xdg_a_person_gets_the_defaults_of_the_specification() -> None:
    assert default_data_dir(PERSON) == Path("/home/ada/.local/share/milo-billing")
    assert cache_dir(PERSON) == Path("/home/ada/.cache/milo-billing")
    assert socket_dir(PERSON, data_dir=Path("/srv/a")).parent == Path("/tmp/milo-billing-1000")


def test_two_data_folders_have_two_socket_folders_however_deep_they_lie() -> None:
    deep = Path("/srv") / ("x" * 200)
    first, second = socket_dir(ROOT, data_dir=deep), socket_dir(ROOT, data_dir=deep / "b")
    assert first != second
    assert len(str(first / ".s.PGSQL.5432").encode()) < SOCKET_PATH_BYTES_MAX
