"""The room that bodies share while they are read."""

import pytest

from milo_billing.kernel.errors import TooMany
from milo_billing.usage.routes.bodies import Room


def test_a_full_room_sends_away_and_what_leaves_makes_room():
    room = Room(100)
    with room.visit() as first:
        first.take(60)
        with pytest.raises(TooMany), room.visit() as second:
            second.take(30)
            second.take(30)
        with room.visit() as third:
            third.take(40)  # what the second had taken is free again
        first.leave()
        with room.visit() as fourth:
            fourth.take(100)
    with room.visit() as last:
        last.take(100)
