"""What kubectl prints: ages, negotiation."""

from datetime import UTC, datetime, timedelta

import pytest

from milo_billing.controlplane.representations import human_duration, negotiate
from milo_billing.controlplane.statuses import Failure

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (10 * 60, "10m"),
        (179 * 60, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
        (-5, "<invalid>"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: int, shown: str) -> None:
    assert human_duration(NOW, NOW - timedelta(seconds=seconds)) == shown


def test_the_first_acceptable_representation_is_taken() -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert negotiate(table).shape == "table"
    assert negotiate("application/json;as=Unheard,application/yaml").yaml
    assert negotiate("").shape == "object"
    with pytest.raises(Failure) as refused:
        negotiate("text/html")
    assert refused.value.status.code == 406
