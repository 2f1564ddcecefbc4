"""Each event changes what it should, and nothing else."""

from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.core import events
from service.core.events import Event
from service.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample that is not zero, but creation times and the buckets of histograms."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {
        name: float(value)
        for name, value in found.items()
        if float(value) and "_created" not in name and "_bucket" not in name
    }


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (
            events.MessagesReceived("land", 3, 70, 1.5),
            {
                'acequia_messages_received_total{layer="land"}': 3,
                'acequia_message_bytes_received_total{layer="land"}': 70,
                'acequia_message_age_at_receive_seconds_count{layer="land"}': 1,
                'acequia_message_age_at_receive_seconds_sum{layer="land"}': 1.5,
                'acequia_queue_oldest_age_seconds{layer="land"}': 1.5,
            },
        ),
        (
            events.BatchClosed("land", "things", "age", 3, 70),
            {'acequia_batches_closed_total{dataset="things",layer="land",reason="age"}': 1},
        ),
        (
            events.BatchFinished("land", "things", 3, 0.5),
            {
                'acequia_messages_settled_total{dataset="things",layer="land"}': 3,
                'acequia_batch_seconds_count{dataset="things",layer="land"}': 1,
                'acequia_batch_seconds_sum{dataset="things",layer="land"}': 0.5,
            },
        ),
        (
            events.FileLanded("things", 3, 70),
            {
                'acequia_messages_landed_total{dataset="things"}': 3,
                'acequia_raw_bytes_stored_total{dataset="things"}': 70,
            },
        ),
        (
            events.FileRefined("things", 9, 7, 2, 4, 70, 0.5),
            {
                'acequia_records_opened_total{dataset="things"}': 9,
                'acequia_records_refined_total{dataset="things"}': 7,
                'acequia_refined_files_stored_total{dataset="things"}': 4,
                'acequia_refined_bytes_stored_total{dataset="things"}': 70,
            },
        ),
        (
            events.BatchLeft("load", "things", 3),
            {'acequia_batches_left_total{dataset="things",layer="load"}': 1},
        ),
        (
            events.RecordsRejected("refine", "things", "bad_type", 2),
            {'acequia_rejected_total{code="bad_type",dataset="things",layer="refine"}': 2},
        ),
        (
            events.LettersQuarantined("quarantine-land", 2, 30, 0),
            {
                'acequia_letters_quarantined_total{layer="quarantine-land"}': 2,
                'acequia_failures_quarantined_total{layer="quarantine-land"}': 30,
            },
        ),
        (events.RoundLooked("r", 3, 3, 0, 1, over=False), {"acequia_failures_resolved_total": 3}),
        (events.ResolveFailed("setup", "no", 1.0), {'acequia_resolve_failures_total{kind="setup"}': 1}),
        (events.MailSent(1, 0, 0), {"acequia_mails_total": 1}),
        (events.MailFailed("setup", "no", 1.0), {'acequia_mail_failures_total{kind="setup"}': 1}),
        (
            events.GroupLoaded("things", 4, 1, 9, 6, 1, 2, 0.5),
            {
                'acequia_copies_total{dataset="things"}': 1,
                'acequia_files_loaded_total{dataset="things",known="yes"}': 1,
                'acequia_files_loaded_total{dataset="things",known="no"}': 4,
                'acequia_rows_inserted_total{dataset="things"}': 6,
                'acequia_rows_replaced_total{dataset="things"}': 1,
                'acequia_rows_duplicate_total{dataset="things"}': 2,
                'acequia_load_transaction_seconds_count{dataset="things"}': 1,
                'acequia_load_transaction_seconds_sum{dataset="things"}': 0.5,
            },
        ),
        (
            events.GroupLoaded("things", 0, 3, 0, 0, 0, 0, 0.5),
            {'acequia_files_loaded_total{dataset="things",known="yes"}': 3},
        ),
        (events.LoadersMet("things", 2.0), {'acequia_loaders_met_total{dataset="things"}': 1}),
        (
            events.WorkFailed("load", "transient", "redshift: away", 1.0),
            {'acequia_work_failures_total{kind="transient",layer="load"}': 1},
        ),
        (events.LayerPaused("load", "redshift: away"), {'acequia_layer_paused{layer="load"}': 1}),
        (events.LayerResumed("load"), {}),
        (events.MessagesReleased("land", 3), {'acequia_messages_released_total{layer="land"}': 3}),
        (
            events.SettlementFailed("land", "delete", 3),
            {'acequia_settlement_failures_total{action="delete",layer="land"}': 3},
        ),
        (events.ClaimsExpired("land", 3), {'acequia_claims_expired_total{layer="land"}': 3}),
        (
            events.DatasetPaused("refine", "things", "why"),
            {'acequia_dataset_paused{dataset="things",layer="refine"}': 1},
        ),
        (events.DatasetResumed("refine", "things"), {}),
        (
            events.MessagesDeferred("refine", "things", 3),
            {'acequia_messages_deferred_total{dataset="things",layer="refine"}': 3},
        ),
        (
            events.QueueLooked("land", 500, 7),
            {
                'acequia_queue_messages{layer="land",state="waiting"}': 500,
                'acequia_queue_messages{layer="land",state="in_flight"}': 7,
            },
        ),
        (events.QueueEmpty("land"), {}),
        (events.QueueCrowded("land", 500, 110_000), {'acequia_queue_crowded_total{layer="land"}': 1}),
        (events.ShieldFailed("ecs: no"), {"acequia_shield_failures_total": 1}),
        (events.ServiceStarted(("land",), 9100), {}),
        (events.ServiceDraining("SIGTERM", 100), {"acequia_draining": 1}),
        (events.ServiceStopped(0), {}),
    ],
)
def test_an_event_changes_its_metrics_and_no_other(event: Event, changed: dict[str, float]) -> None:
    metrics = Metrics(CollectorRegistry(), now=lambda: 0.0)
    metrics.record(event)
    assert samples(metrics) == changed


def test_what_is_old_grows_older_while_its_layer_waits_and_does_not_poll() -> None:
    now = 100.0
    metrics = Metrics(CollectorRegistry(), now=lambda: now)
    metrics.record(events.MessagesReceived("quarantine-land", 3, 70, 1.5))
    now = 700.0
    assert samples(metrics)['acequia_queue_oldest_age_seconds{layer="quarantine-land"}'] == 601.5


def test_after_an_empty_poll_nothing_is_old() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.record(events.MessagesReceived("quarantine-land", 3, 70, 1.5))
    metrics.record(events.QueueEmpty("quarantine-land"))
    assert 'acequia_queue_oldest_age_seconds{layer="quarantine-land"}' not in samples(metrics)


def test_a_resumed_layer_is_paused_no_longer() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.record(events.LayerPaused("load", "away"))
    metrics.record(events.LayerResumed("load"))
    assert samples(metrics) == {}


def test_the_scrape_says_what_a_metric_is() -> None:
    text = generate_latest(Metrics(CollectorRegistry()).registry).decode()
    assert "# HELP acequia_rejected_total Records and messages sent to dead letters\n" in text
    assert "# TYPE acequia_rejected_total counter\n" in text
    assert "acequia_draining 0.0\n" in text


def test_there_is_a_case_here_for_every_event() -> None:
    marks = test_an_event_changes_its_metrics_and_no_other.pytestmark  # type: ignore[attr-defined]
    assert {type(event) for event, _ in marks[0].args[1]} == set(get_args(Event))
