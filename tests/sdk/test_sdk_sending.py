"""What becomes of recorded events, by the answer of the gateway."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from milo_usage import Metrics, Recorder, RecorderClosed, Usage, backoff, deadletters
from milo_usage.folder import Folder

from tests.sdk.gateways import JSON, Reply, ScriptedGateway, take_all

Make = Callable[..., Recorder]
WAIT_S = 20.0


def record(recorder: Recorder, count: int = 1, event_id: str | None = None) -> list[str]:
    return recorder.record_many(
        [Usage("a.example/cpu", "web", number, event_id=event_id) for number in range(count)]
    )


def rejecting(*wrong: int, reason: str = "TIME_IN_FUTURE") -> Callable[[list[JSON]], Reply]:
    """Rejects the events with these quantities."""

    def answer(events: list[JSON]) -> Reply:
        rejected = [
            {"id": event["id"], "reason": reason, "detail": "because"}
            for event in events
            if int(event["data"]["value"]) in wrong
        ]
        if not rejected:
            return take_all(events)
        return Reply(207, {"accepted": len(events) - len(rejected), "rejected": rejected})

    return answer


def letters(path: Path) -> list[deadletters.DeadLetter]:
    return deadletters.read(Folder(path / "spool"))


def test_an_event_reaches_the_gateway_as_it_was_recorded(gateway: ScriptedGateway, make: Make):
    recorder = make(gateway.url, source="here")
    id = recorder.record(
        meter="a.example/cpu",
        project="web",
        quantity=5,
        dimensions={"region": "zürich"},
        resource={"kind": "Instance", "name": "i-1"},
    )
    assert recorder.flush(WAIT_S)
    ((event,),) = gateway.requests
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": id,
        "source": "here",
        "type": "a.example/cpu",
        "subject": "projects/web",
        "datacontenttype": "application/json",
        "data": {
            "value": "5",
            "dimensions": {"region": "zürich"},
            "resource": {"kind": "Instance", "name": "i-1"},
        },
    }
    assert gateway.tokens == ["Bearer secret"]


def test_events_go_in_batches_of_at_most_a_thousand_and_in_order(gateway: ScriptedGateway, make: Make):
    recorder = make(gateway.url)
    ids = record(recorder, 2_500)
    assert recorder.flush(WAIT_S)
    assert gateway.ids == ids == sorted(ids)
    assert max(map(len, gateway.requests)) == 1_000


def test_what_was_acknowledged_leaves_no_file_but_the_folders_lock(
    gateway: ScriptedGateway, make: Make, tmp_path: Path
):
    recorder = make(gateway.url)
    record(recorder, 10)
    assert recorder.close(WAIT_S)
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["spool.lock"]
    with pytest.raises(RecorderClosed):
        record(recorder)


def test_rejected_events_become_dead_letters_and_stop_nobody(
    gateway: ScriptedGateway, make: Make, tmp_path: Path
):
    gateway.script = rejecting(3, 7)
    recorder = make(gateway.url)
    ids = record(recorder, 10)
    assert recorder.flush(WAIT_S)
    metrics = recorder.metrics()
    assert (metrics.recorded, metrics.acknowledged, metrics.rejected, metrics.conflicts) == (10, 8, 2, 0)
    assert [(letter.id, letter.reason) for letter in letters(tmp_path)] == [
        (ids[3], "TIME_IN_FUTURE"),
        (ids[7], "TIME_IN_FUTURE"),
    ]
    record(recorder, 1)
    assert recorder.flush(WAIT_S)


def test_a_reused_id_counts_as_a_conflict(gateway: ScriptedGateway, make: Make):
    gateway.script = rejecting(0, reason="ID_CONFLICT")
    recorder = make(gateway.url)
    record(recorder, 2)
    assert recorder.flush(WAIT_S)
    assert (recorder.metrics().rejected, recorder.metrics().conflicts) == (1, 1)


def test_two_events_of_one_id_in_a_batch_are_told_apart_by_smaller_batches(
    gateway: ScriptedGateway, make: Make, tmp_path: Path
):
    seen: dict[str, str] = {}

    def answer(events: list[JSON]) -> Reply:
        rejected: list[JSON] = []
        for event in events:
            if seen.setdefault(event["id"], event["data"]["value"]) != event["data"]["value"]:
                rejected.append({"id": event["id"], "reason": "ID_CONFLICT", "detail": "another payload"})
        return Reply(207, {"accepted": len(events) - len(rejected), "rejected": rejected})

    gateway.script = answer
    recorder = make(gateway.url)
    record(recorder, 3, event_id="order-1")
    assert recorder.flush(WAIT_S)
    assert seen == {"order-1": "0"}
    assert recorder.metrics().conflicts == 2
    assert [letter.event and letter.event["data"]["value"] for letter in letters(tmp_path)] == ["2"]


def test_a_body_that_is_too_large_is_halved_until_it_fits(gateway: ScriptedGateway, make: Make):
    gateway.script = lambda events: (
        Reply(413, {"message": "too large"}) if len(events) > 30 else take_all(events)
    )
    recorder = make(gateway.url)
    ids = record(recorder, 200)
    assert recorder.flush(WAIT_S)
    assert [id for events in gateway.requests if len(events) <= 30 for id in (e["id"] for e in events)] == ids
    assert recorder.metrics().rejected == 0


@pytest.mark.parametrize("status", [400, 413])
def test_an_event_that_spoils_every_body_it_is_in_is_found_and_put_aside(
    gateway: ScriptedGateway, make: Make, tmp_path: Path, status: int
):
    def answer(events: list[JSON]) -> Reply:
        if any(event["data"]["value"] == "5" for event in events):
            return Reply(status, {"code": "MALFORMED_JSON", "message": "not this one"})
        return take_all(events)

    gateway.script = answer
    recorder = make(gateway.url)
    ids = record(recorder, 20)
    assert recorder.flush(WAIT_S)
    assert (recorder.metrics().acknowledged, recorder.metrics().rejected) == (19, 1)
    assert [letter.id for letter in letters(tmp_path)] == [ids[5]]


@pytest.mark.parametrize(
    "strange",
    [
        Reply(200, b"<html>please log in</html>"),
        Reply(200, {"accepted": 99}),
        Reply(200, {"status": "ok"}),
        Reply(207, {"accepted": 1, "rejected": "none"}),
        Reply(400, b"bad gateway configuration"),
        Reply(404, {"message": "no such path"}),
        Reply(302, b"", {"Location": "https://example.com/"}),
        Reply(401, {"kind": "Status", "reason": "Unauthorized", "message": "who are you"}),
        Reply(403, {"kind": "Status", "reason": "Forbidden", "message": "you may not"}),
        Reply(500, {"kind": "Status", "reason": "InternalError", "message": "oh"}),
        Reply(503, {"kind": "Status", "reason": "ServiceUnavailable", "message": "later"}),
    ],
    ids=lambda reply: f"{reply.status}",
)
def test_what_no_gateway_acknowledged_stays_and_is_sent_again(
    gateway: ScriptedGateway, make: Make, strange: Reply, tmp_path: Path
):
    gateway.script = lambda events: strange
    recorder = make(gateway.url)
    ids = record(recorder, 3)
    assert not recorder.flush(0.3)
    metrics = recorder.metrics()
    assert metrics.acknowledged == metrics.rejected == 0
    assert metrics.last_error is not None
    assert str(strange.status) in metrics.last_error
    gateway.script = take_all
    assert recorder.flush(WAIT_S)  # in a hurry it does not wait out what a person would have to mend
    assert gateway.ids[-3:] == ids
    assert letters(tmp_path) == []


def test_retry_after_is_honoured_even_in_a_hurry(gateway: ScriptedGateway, make: Make):
    times: list[float] = []

    def answer(events: list[JSON]) -> Reply:
        times.append(time.monotonic())
        return Reply(429, {"message": "busy"}, {"Retry-After": "1"}) if len(times) == 1 else take_all(events)

    gateway.script = answer
    recorder = make(gateway.url)
    record(recorder)
    assert recorder.flush(WAIT_S)
    assert times[1] - times[0] >= 1.0
    assert recorder.metrics().failures == 1


def test_a_gateway_that_is_away_and_comes_back_gets_everything(
    make: Make, nowhere: str, gateway: ScriptedGateway
):
    recorder = make(nowhere)
    ids = record(recorder, 5)
    assert not recorder.close(0.1)
    later = make(gateway.url)
    assert later.flush(WAIT_S)
    assert gateway.ids == ids


def test_a_token_file_is_read_anew_for_each_request(gateway: ScriptedGateway, make: Make, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("first\n")
    recorder = make(gateway.url, token=None, token_file=file)
    record(recorder)
    assert recorder.flush(WAIT_S)
    file.write_text("second\n")
    record(recorder)
    assert recorder.flush(WAIT_S)
    assert gateway.tokens == ["Bearer first", "Bearer second"]
    file.unlink()
    record(recorder)
    assert not recorder.flush(0.2)
    assert "cannot be read" in str(recorder.metrics().last_error)


def test_an_idle_connection_that_the_gateway_closed_is_no_failure(gateway: ScriptedGateway, make: Make):
    gateway.script = lambda events: Reply(200, {"accepted": len(events)}, {"Keep-Alive": "timeout=1"})
    recorder = make(gateway.url)
    for _ in range(3):
        record(recorder)
        assert recorder.flush(WAIT_S)
    assert recorder.metrics().failures == 0
    assert recorder.metrics().requests == 3


def test_metrics_are_reported_and_a_callback_that_fails_stops_nothing(
    gateway: ScriptedGateway, make: Make, caplog: pytest.LogCaptureFixture
):
    seen: list[Metrics] = []

    def look(metrics: Metrics) -> None:
        seen.append(metrics)
        raise RuntimeError("the monitoring is down")

    recorder = make(gateway.url, on_metrics=look)
    for _ in range(2):
        record(recorder)
        assert recorder.flush(WAIT_S)
    assert recorder.close(WAIT_S)
    assert seen[-1].acknowledged == 2
    assert "the callback for metrics failed" in caplog.text


def test_events_that_near_the_late_window_are_told_of(
    nowhere: str, make: Make, caplog: pytest.LogCaptureFixture, gateway: ScriptedGateway
):
    now_us = [1_790_000_000_000_000]

    class Later:
        """The system's clock, 26 days ahead when told so."""

        def now_us(self) -> int:
            return now_us[0]

        def monotonic_s(self) -> float:
            return time.monotonic()

        def random_bits(self, count: int) -> int:
            return 1

    recorder = make(nowhere, clock=Later())
    record(recorder)
    assert not recorder.metrics().late_soon
    assert not recorder.close(0)
    now_us[0] += 26 * 86_400_000_000
    with caplog.at_level(
        logging.WARNING, "milo_usage"
    ):  # it is said once an hour, perhaps as soon as the sender runs
        late = make(nowhere, clock=Later())
        assert not late.flush(0)
        metrics = late.metrics()
        assert metrics.late_soon
        assert metrics.oldest_unsent_age_s == 26 * 86_400
        until = time.monotonic() + WAIT_S
        while "the oldest unsent event is 26.0 days old" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
    assert "the oldest unsent event is 26.0 days old" in caplog.text


def test_many_threads_record_at_once_and_nothing_is_lost(gateway: ScriptedGateway, make: Make):
    recorder = make(gateway.url)
    ids: list[list[str]] = [[] for _ in range(8)]

    def work(mine: list[str]) -> None:
        mine += [record(recorder)[0] for _ in range(50)]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.flush(WAIT_S)
    for mine in ids:
        assert mine == sorted(mine)
    assert sorted(gateway.ids) == sorted(id for mine in ids for id in mine)


def test_waits_grow_to_a_minute_and_are_spread():
    assert [backoff.wait_s(n, chance=1.0) for n in (1, 2, 3, 9, 50)] == [0.25, 0.5, 1.0, 60.0, 60.0]
    assert backoff.wait_s(3, chance=0.0) == 0.5
