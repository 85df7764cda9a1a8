"""What goes out while the service, the process that publishes and every reader are killed: a reader
of changes, one of events, a webhook's receiver and consumer groups of Redis each see exactly what
the tables hold, in order, and what they see twice has the same id. `make outgoing N=50` kills more
often, during twenty syncs at once."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.journeys.groups import handled, key_of, published
from tests.journeys.outgoing import DATASETS, RECORDS, Outgoing
from tests.journeys.readers import seen, seen_ids

KILLS = int(os.environ.get("KILLS", "4"))
SYNCS = int(os.environ.get("SYNCS", "4"))
SEED = int(os.environ.get("SEED", "20261130"))

Entries = Sequence[tuple[str, Any]]


@pytest.mark.timeout(1200 + 30 * KILLS)
def test_all_readers_together_see_what_the_tables_hold_whatever_is_killed(tmp_path: Path) -> None:
    with Outgoing(tmp_path, SYNCS, SEED).running() as story:
        story.kill_all(KILLS)
        story.until(story.all_complete)
        changes, events = story.feed("changes"), story.feed("events")
        check_changes(story, changes)
        check_events(story, events)
        check_reader(story, "change reader", changes)
        check_reader(story, "event reader", events)
        check_receiver(story, events)
        for dataset in DATASETS:
            check_group(story, dataset, [one for one in changes if one["dataset"] == dataset])
    print(f"\n{story.kills.total()} kills: {dict(story.kills)}")
    print(f"{story.users} users, {len(changes)} changes, {len(events)} events")
    print(f"seen again: {dict(story.repeated)}")


# The feeds and the tables -------------------------------------------------------------------------


def check_changes(story: Outgoing, changes: list[Any]) -> None:
    """Each stored record has one change."""
    stored = story.rows("SELECT connection_id, dataset, id FROM records")
    told = [(one["connectionId"], one["dataset"], one["recordId"]) for one in changes]
    assert sorted(told) == sorted(map(tuple, stored))
    assert len(stored) == story.users * RECORDS
    assert {one["op"] for one in changes} == {"created"}


def check_events(story: Outgoing, events: list[Any]) -> None:
    """The events of each sync are its moves, and the last one tells of all that is stored."""
    moves = defaultdict[str, list[Any]](list)
    for event in events:
        moves[event["data"]["syncId"]].append(event)
    syncs = story.rows("SELECT id, version FROM sync_progress")
    assert set(moves) == {sync_id for sync_id, _ in syncs}
    for sync_id, version in syncs:
        *cancelled, started, completed = moves[sync_id]
        types = [event["type"] for event in cancelled]
        assert types == ["sync.started", "sync.cancelled"] * (len(types) // 2)
        assert (started["type"], completed["type"]) == ("sync.started", "sync.completed")
        assert completed["data"]["recordsProcessed"] == RECORDS
        versions = [event["data"]["version"] for event in moves[sync_id]]
        assert versions == sorted(set(versions)) and versions[-1] == version


# The readers --------------------------------------------------------------------------------------


def first_seen(story: Outgoing, name: str, entries: Entries) -> dict[str, Any]:
    """The entries by their ids, in the order in which they came first. What came again is equal."""
    once = dict[str, Any]()
    for id, entry in entries:
        assert once.setdefault(id, entry) == entry
    story.repeated[name] = len(entries) - len(once)
    return once


def check_reader(story: Outgoing, name: str, feed: list[Any]) -> None:
    """A reader has seen each entry of the feed, in the order of the feed."""
    ids = {entry["id"] for entry in feed}
    story.until(lambda: ids <= set(seen_ids(story.file(name))))
    once = first_seen(story, name, seen(story.file(name)))
    assert list(once.values()) == feed
    assert list(once) == [entry["id"] for entry in feed]


def check_receiver(story: Outgoing, events: list[Any]) -> None:
    """The receiver has seen each event, those of each sync in the order of the feed."""
    ids = {event["id"] for event in events}
    story.until(lambda: ids <= set(seen_ids(story.file("receiver"))))
    once = first_seen(story, "receiver", seen(story.file("receiver")))
    told, received = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
    for event in events:
        told[event["data"]["syncId"]].append(event)
    for id, body in once.items():
        received[body["data"]["syncId"]].append({"id": id, **body})
    assert received == told


def check_group(story: Outgoing, dataset: str, changes: list[Any]) -> None:
    """The stream of Redis has each change in the order of the feed; a group has handled each."""
    key, ids = key_of(story.environ, dataset), {one["id"] for one in changes}
    with Redis.from_url(story.environ["REDIS_URL"]) as redis:
        story.until(lambda: ids <= {change for change, _ in published(redis, key)})
        story.until(lambda: ids <= set(handled(story.folder, dataset)))
        once = first_seen(story, f"stream of {dataset}", published(redis, key))
    assert list(once.values()) == changes
    assert list(once) == [one["id"] for one in changes]
    assert handled(story.folder, dataset) == {one["id"]: one["recordId"] for one in changes}
