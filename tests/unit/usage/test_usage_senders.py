"""Who is remembered as the sender of usage."""

from milo_billing.usage.routes.gateway import sender_key


def test_one_token_that_speaks_for_somebody_is_another_sender() -> None:
    """Else an administrator's own events would be judged by the reach of whom he impersonated a moment ago."""
    plain = [(b"authorization", b"Bearer a"), (b"content-type", b"application/json")]
    assert sender_key(plain) == sender_key([(b"authorization", b"Bearer a")])
    assert sender_key(plain) != sender_key([(b"authorization", b"Bearer b")])
    as_ann = [*plain, (b"impersonate-user", b"ann")]
    assert sender_key(plain) != sender_key(as_ann)
    assert sender_key(as_ann) != sender_key([*plain, (b"impersonate-user", b"bob")])
