"""Who is remembered as the sender of usage."""

from milo_billing.usage.routes.ingest import sender_key


def test_one_token_that_speaks_for_somebody_is_another_sender() -> None:
    """Else an administrator's own events would be judged by the reach of whom he impersonated a moment ago."""
    plain = {"authorization": "Bearer a", "content-type": "application/json"}
    assert sender_key(plain) == sender_key({"authorization": "Bearer a"})
    assert sender_key(plain) != sender_key({"authorization": "Bearer b"})
    assert sender_key(plain) != sender_key({**plain, "impersonate-user": "ann"})
    assert sender_key({**plain, "impersonate-user": "ann"}) != sender_key(
        {**plain, "Impersonate-User": "bob"}
    )
