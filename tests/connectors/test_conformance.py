"""The contract of every connector, checked for each package beside `connectors/base.py`.

A new connector needs a module `conformance` in its package: how it is opened here, and what can be
wrong with it (`connectors.conformance.ConnectorCase`)."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio.to_thread
import msgspec
import pytest

import connectors
from connectors.base import (
    Connection,
    ConnectionLost,
    Connector,
    ConnectorError,
    Cursor,
    Dataset,
    InvalidConnection,
    Page,
    Record,
    Undetectable,
    Window,
)
from connectors.claims import Claim, RemovalArrival
from connectors.conformance import ConnectorCase, Environ, Stand, find_case
from service.connection_settings import SettingsType

from .clocks import NOW, JumpingClock
from .serving import serving

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(name: str, clock: JumpingClock, spoilt: bool = False) -> AsyncIterator[Environ]:
    """The environment of a connector while its source answers."""
    try:
        sandbox = connectors.sandbox(name)
    except LookupError:
        sandbox = None
    async with find_case(name).source(Stand(clock, serving, sandbox), spoilt) as environ:
        yield environ


class Bench:
    """An opened connector and its test case."""

    def __init__(self, case: ConnectorCase, connector: Connector, clock: JumpingClock) -> None:
        self.case = case
        self.connector = connector
        self.clock = clock
        self.waits: list[tuple[datetime, datetime]] = []
        self.learned: dict[str, str] = {}

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append((self.clock.now(), until))
        assert why

    async def pages(
        self, dataset: Dataset, cursor: Cursor | None = None, connection: Connection | None = None
    ) -> list[Page]:
        connection = connection or self.case.connection
        learned = {**self.learned, **connection.learned}
        connection = msgspec.structs.replace(connection, learned=learned)
        pages = []
        async for page in self.connector.read(
            connection, dataset, window(dataset), cursor, self.waiting
        ):
            # Only this, since the rest may change how the next read is planned.
            self.learned |= {k: v for k, v in page.learned.items() if k.startswith("ordered:")}
            pages.append(page)
        return pages

    async def everything(self) -> dict[str, list[Record]]:
        return {
            dataset.name: records(await self.pages(dataset)) for dataset in self.connector.datasets
        }


@asynccontextmanager
async def opened(name: str, spoilt: bool = False) -> AsyncIterator[Bench]:
    clock = JumpingClock()
    async with (
        running(name, clock, spoilt) as environ,
        connectors.find(name)(environ, clock) as connector,
    ):
        yield Bench(find_case(name), connector, clock)


@pytest.fixture(params=connectors.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(name: str) -> AsyncIterator[Bench]:
    async with opened(name) as opened_bench:
        yield opened_bench


def window(dataset: Dataset) -> Window:
    until = NOW - dataset.lag
    return Window(until - (dataset.reach or timedelta(0)), until)


def records(pages: Iterable[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


class Landed:
    """The stored records for `detect`."""

    learned: Mapping[str, str] = {}

    def __init__(self, everything: Mapping[str, Sequence[Record]]) -> None:
        self.everything = everything

    def read(self, dataset: str) -> Iterable[Record]:
        return iter(self.everything.get(dataset, ()))

    def complete(self, dataset: str) -> bool:
        return dataset in self.everything

    def cost(self, sku: str) -> None:
        """No costs were entered."""

    def dimensions(self, sku: str) -> None:
        """No dimensions were entered."""

    def arrivals(self) -> Sequence[RemovalArrival]:
        return ()


def claims(result: Any) -> list[Claim]:
    """The claims in the result of `detect`."""
    return list(getattr(result, "claims", result))


# Opening ------------------------------------------------------------------------------------------


def test_every_connector_has_a_case(name: str) -> None:
    assert find_case(name).connection.connector == name


def test_a_missing_case_says_where_it_belongs() -> None:
    with pytest.raises(LookupError, match=r"connectors/amazon_sandbox/conformance\.py"):
        find_case("amazon_sandbox")


def test_an_unknown_connector_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match=", ".join(connectors.names())):
        connectors.find("nowhere")


async def test_a_connector_has_the_name_of_its_package(bench: Bench, name: str) -> None:
    assert bench.connector.name == name


async def test_datasets_have_unique_names_and_labels(bench: Bench) -> None:
    datasets = bench.connector.datasets
    assert len({dataset.name for dataset in datasets}) == len(datasets) > 0
    assert all(dataset.name.isidentifier() and dataset.label for dataset in datasets)
    assert "claims" not in {dataset.name for dataset in datasets}  # a name of the service


async def test_opening_and_planning_need_no_network(name: str) -> None:
    case = find_case(name)
    async with connectors.find(name)(case.down, JumpingClock()) as connector:
        windows = {dataset.name: window(dataset) for dataset in connector.datasets}
        plan = connector.plan(case.connection, windows)
        assert plan == connector.plan(case.connection, windows)
        assert plan.keys() == windows.keys()
        for way in plan.values():
            assert way.name
            assert way.seconds is None or way.seconds >= 0
            assert way.calls is None or way.calls >= 1
        some = dict(list(windows.items())[:1])
        assert connector.plan(case.connection, some).keys() == some.keys()


# The account --------------------------------------------------------------------------------------


async def test_a_valid_connection_has_a_name_and_keeps_its_settings(bench: Bench) -> None:
    account = await bench.connector.check(bench.case.connection, bench.waiting)
    assert account.name
    assert account.settings in (None, bench.case.connection.settings)
    assert all(isinstance(value, str) for value in account.learned.values())


async def test_an_open_choice_is_filled_in_from_the_account(bench: Bench) -> None:
    if (undecided := bench.case.undecided) is None:
        pytest.skip("nothing to choose")
    account = await bench.connector.check(undecided, bench.waiting)
    assert account.settings and account.settings != undecided.settings
    decided = msgspec.structs.replace(undecided, settings=account.settings)
    again = await bench.connector.check(decided, bench.waiting)
    assert again.settings in (None, account.settings)


async def test_revoked_credentials_raise_connection_lost(bench: Bench) -> None:
    with pytest.raises(ConnectionLost):
        await bench.connector.check(bench.case.revoked, bench.waiting)
    for dataset in bench.connector.datasets:
        with pytest.raises(ConnectionLost):
            await bench.pages(dataset, connection=bench.case.revoked)


async def test_an_invalid_connection_names_the_field(bench: Bench) -> None:
    for field, wrong in bench.case.wrong:
        with pytest.raises(InvalidConnection) as caught:
            await bench.connector.check(wrong, bench.waiting)
        assert caught.value.fields.keys() == {field}
        assert field in str(caught.value)


async def test_an_error_never_contains_the_credentials(bench: Bench) -> None:
    for connection in (bench.case.revoked, *(wrong for _, wrong in bench.case.wrong)):
        texts = [repr(connection), repr(connection.settings)]
        try:
            await bench.connector.check(connection, bench.waiting)
        except ConnectorError as error:
            texts.append(f"{error!r} {error}")
        _, secrets = SettingsType(connection.connector, type(connection.settings)).split(
            connection.settings
        )
        for secret in filter(lambda secret: len(str(secret)) >= 8, secrets.values()):
            assert not [text for text in texts if str(secret) in text]


# Reading ------------------------------------------------------------------------------------------


async def test_a_read_resumes_from_any_cursor(bench: Bench) -> None:
    for dataset in bench.connector.datasets:
        whole = await bench.pages(dataset)
        for number, page in enumerate(whole[:-1], 1):
            assert page.cursor is not None
            rest = await bench.pages(dataset, page.cursor)
            assert records(rest) == records(whole[number:])


async def test_a_cursor_is_valid_in_a_new_process(name: str) -> None:
    case, clock = find_case(name), JumpingClock()
    async with running(name, clock) as environ:
        async with connectors.find(name)(environ, clock) as connector:
            old = Bench(case, connector, clock)
            dataset = connector.datasets[0]
            first, *rest = await old.pages(dataset)
        assert rest
        async with connectors.find(name)(environ, clock) as fresh:
            again = Bench(case, fresh, clock)
            assert records(await again.pages(dataset, first.cursor)) == records(rest)


async def test_an_invalid_cursor_starts_from_the_beginning(bench: Bench) -> None:
    for dataset in bench.connector.datasets:
        whole = records(await bench.pages(dataset))
        for cursor in ("?", "-5", '{"v":99}'):
            assert records(await bench.pages(dataset, Cursor(cursor))) == whole


async def test_only_the_last_page_has_no_cursor(bench: Bench) -> None:
    for dataset in bench.connector.datasets:
        *before, last = await bench.pages(dataset)
        assert last.cursor is None
        assert all(page.cursor is not None for page in before)


async def test_ids_are_unique_in_a_dataset_and_the_same_at_every_read(bench: Bench) -> None:
    first, again = await bench.everything(), await bench.everything()
    for dataset, read in first.items():
        ids = [record.id for record in read]
        assert len(set(ids)) > 0
        if dataset not in bench.case.repeating:
            assert len(ids) == len(set(ids))
        assert again[dataset] == read


async def test_records_are_json(bench: Bench) -> None:
    for read in (await bench.everything()).values():
        for record in read:
            msgspec.json.decode(record.data)
            assert record.id
            assert record.error is None


async def test_pages_report_progress_and_remaining_time(bench: Bench) -> None:
    for dataset in bench.connector.datasets:
        pages = await bench.pages(dataset)
        shares = [page.share for page in pages if page.share is not None]
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)
        assert all(page.seconds_left is None or page.seconds_left >= 0 for page in pages)
        totals = {page.total for page in pages if page.total is not None}
        assert totals <= {len(records(pages))}


async def test_every_pause_of_more_than_a_second_is_announced(bench: Bench) -> None:
    """One announcement may cover several pauses, such as the polls of a report."""
    await bench.everything()
    assert all(until > at for at, until in bench.waits)
    for at, seconds in bench.clock.pauses():
        if seconds > 1:
            assert any(announced <= at < until for announced, until in bench.waits)


async def test_an_unreadable_record_fails_alone(name: str) -> None:
    async with opened(name) as bench:
        whole = await bench.everything()
    async with opened(name, spoilt=True) as bench:
        spoilt = await bench.everything()
    broken = {record.id for read in spoilt.values() for record in read if record.error}
    assert len(broken) == 1
    for dataset, read in whole.items():
        assert len(spoilt[dataset]) == len(read)
    good = [record for read in spoilt.values() for record in read if record.error is None]
    assert len(set(map(_key, good))) == sum(map(len, whole.values())) - 1
    assert set(map(_key, good)) < {_key(record) for read in whole.values() for record in read}


def _key(record: Record) -> tuple[str, bytes]:
    return record.id, record.data


# Claims -------------------------------------------------------------------------------------------


async def test_detection_is_pure(bench: Bench) -> None:
    """The same records yield the same result, whether claims or an error; in a thread, without the
    clock."""
    landed = Landed(await bench.everything())
    before = bench.clock.now(), list(bench.clock.slept)

    def detect() -> list[Claim] | str:
        try:
            return claims(bench.connector.detect(landed, NOW))
        except Undetectable as unknown:
            return str(unknown)

    first = await anyio.to_thread.run_sync(detect)
    bench.clock.time += timedelta(days=400)
    again = await anyio.to_thread.run_sync(detect)
    assert first == again
    assert (bench.clock.now() - timedelta(days=400), bench.clock.slept) == before


async def test_without_records_no_claim_is_found(bench: Bench) -> None:
    try:
        assert claims(bench.connector.detect(Landed({}), NOW)) == []
    except Undetectable as unknown:
        assert str(unknown)
