"""The list of connectors, and a connector with unusual settings."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import jsonschema_rs
import pytest
from msgspec import Meta

import connectors
from connectors.amazon.claims import RULES
from connectors.amazon.connector import AmazonConnector
from connectors.base import (
    SECRET,
    Account,
    Clock,
    Column,
    Connection,
    ConnectionLost,
    ConnectionSettings,
    Cursor,
    Dataset,
    InvalidConnection,
    Page,
    Plan,
    Record,
    Records,
    Waiting,
    Way,
    Window,
    choices,
)
from connectors.claims import Findings
from service.errors import StartupError
from service.store.connections import UNDECRYPTABLE
from tests.service.api.answers import problem
from tests.serving import Json, Serving, read, serve, token

pytestmark = pytest.mark.anyio


class ShelfSettings(ConnectionSettings, frozen=True, kw_only=True):
    """Settings without region and marketplaces, with two secrets."""

    shelf: Annotated[int, Meta(title="Shelf", ge=1)]
    fragile: bool = False
    login: Annotated[str, Meta(title="Login"), SECRET]
    password: Annotated[str, Meta(title="Password"), SECRET]


class Shelf:
    """A connector with one record."""

    name = "shelf"
    label = "A shelf"
    settings: type[ConnectionSettings] = ShelfSettings
    datasets: Sequence[Dataset] = (
        Dataset("books", "books", columns=[Column("title", "Title", "title")]),
    )

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        if connection.settings.password == "revoked":
            raise ConnectionLost("Locked.")
        if connection.settings.shelf > 9:
            raise InvalidConnection({"shelf": "There are nine."})
        return Account("My shelf", id=connection.settings.login)

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {name: Way("look", 0.0) for name in windows}

    async def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        await self.check(connection, waiting)
        yield Page([Record(str(connection.settings.shelf), b"{}")])

    def detect(self, records: Records, as_of: datetime) -> Findings:
        return Findings((), ())


class LabelledSettings(ConnectionSettings, frozen=True, kw_only=True):
    """Settings with choices."""

    room: Annotated[str, choices({"n": "North", "s": "South"})] = "n"
    shelves: tuple[Annotated[str, choices({"1": "Upper", "2": "Lower"})], ...] = ()
    password: Annotated[str, SECRET]


class Labelled(Shelf):
    """A connector whose settings have choices, and which knows when an authorisation ends."""

    settings = LabelledSettings
    until: datetime | None = datetime(2031, 5, 6, 7, 8)

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        return Account("My shelf", authorised_until=self.until)


class Consenting(Shelf):
    """A connector with a consent page."""

    def authorize_url(self, settings: Mapping[str, Any], state: str, redirect_uri: str) -> str:
        return f"https://shelf/{settings['shelf']}?state={state}"


@asynccontextmanager
async def serving(
    folder: Path, monkeypatch: pytest.MonkeyPatch, connector: Shelf
) -> AsyncIterator[tuple[Serving, httpx.AsyncClient]]:
    """A service with this connector only, and with its contract."""

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[Shelf]:
        yield connector

    monkeypatch.setattr(connectors, "names", lambda: ("shelf",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        serve(folder) as service,
        httpx.AsyncClient(base_url=service.url, headers=headers) as ann,
    ):
        yield service, ann


NEW: Json = {"connector": "shelf", "shelf": 3, "login": "ann", "password": "a secret"}


async def test_each_connector_is_listed_with_its_settings_datasets_and_rules(
    service: Serving,
) -> None:
    listed = read(await service.user().get("/api/connectors"))["connectors"]
    amazon, demo = (
        next(connector for connector in listed if connector["name"] == name)
        for name in ("amazon", "demo")
    )
    assert (amazon["name"], amazon["label"], amazon["consent"]) == ("amazon", "Amazon", True)
    assert (demo["name"], demo["label"], demo["consent"], demo["rules"]) == (
        *("demo", "Demo", False, []),
    )
    properties = amazon["settings"]["properties"]
    assert set(properties) == {"region", "marketplaceIds", "environment", "refreshToken"}
    assert amazon["settings"]["required"] == ["refreshToken"]
    secret = [name for name, field in properties.items() if field.get("writeOnly")]
    assert secret == ["refreshToken"]
    assert {"const": "EU", "title": "Europe"} in properties["region"]["oneOf"]
    assert all(choice["title"] for choice in properties["marketplaceIds"]["items"]["oneOf"])
    assert [rule["code"] for rule in amazon["rules"]] == [rule.code for rule in RULES]
    assert all(rule["title"] and rule["sentence"] for rule in amazon["rules"])
    assert demo["datasets"][0]["columns"] == [
        {"name": "number", "label": "Number", "path": "number", "kind": "number", "currency": None}
    ]
    assert {
        "name": "amountTotal",
        "label": "Amount total",
        "path": "amounttotal",
        "kind": "money",
        "currency": "currencyunit",
    } in next(one for one in amazon["datasets"] if one["name"] == "reimbursements")["columns"]
    datasets = {dataset["name"]: dataset["label"] for dataset in amazon["datasets"]}
    assert datasets == {dataset.name: dataset.label for dataset in AmazonConnector.datasets}


@pytest.mark.parametrize(
    ("environ", "offered"),
    [
        ({"CONNECTORS": ""}, {"amazon"}),
        ({"CONNECTORS": "demo, amazon"}, {"amazon", "demo"}),
        ({"CONNECTORS": "demo"}, {"demo"}),
        ({"CONNECTORS": "", "AUTH_MODE": "demo"}, {"amazon", "demo"}),
    ],
)
async def test_the_demo_is_offered_in_demo_mode_or_on_request(
    tmp_path: Path, environ: dict[str, str], offered: set[str]
) -> None:
    async with serve(tmp_path, None, **environ) as service, service.anonymous() as ann:
        headers = {} if "AUTH_MODE" in environ else {"Authorization": f"Bearer {token()}"}
        listed = read(await ann.get("/api/connectors", headers=headers))["connectors"]
        names = {connector["name"] for connector in listed}
        assert names & {"amazon", "demo"} == offered, "besides those that somebody has added"


async def test_a_body_that_fits_the_listed_schema_connects(service: Serving) -> None:
    ann = service.user()
    listed = read(await ann.get("/api/connectors"))["connectors"]
    demo = next(connector for connector in listed if connector["name"] == "demo")
    body = {"region": "EU", "refreshToken": "good"}
    assert jsonschema_rs.is_valid(demo["settings"], body)
    assert (await ann.connect(**body))["region"] == "EU"


async def test_a_connector_without_regions_or_marketplaces_is_connected_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, Shelf()) as (service, ann):
        answer = await ann.post("/api/connections", json=NEW)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["shelf"], made["fragile"], made["accountId"]) == (3, False, "ann")
        assert "region" not in made and "a secret" not in answer.text
        done = await service.user().until(made["sync"]["syncId"])
        assert (done["status"], done["recordsProcessed"]) == ("complete", 1)
        again = await ann.post("/api/connections", json={**NEW, "shelf": 4, "password": "other"})
        assert problem(again, 409, "already_connected")["connectionId"] == made["id"]
        contract = (await ann.get("/openapi.json")).json()["components"]["schemas"]
        assert "region" not in contract["Connection"]["properties"]
        assert contract["Connection"]["properties"]["shelf"] == {"type": "integer"}
        assert contract["ConnectIn"]["required"] == ["connector", "shelf", "login", "password"]
        assert contract["ReconnectIn"]["required"] == ["login", "password"]
        stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"a secret" not in stored


async def test_a_connection_shows_the_titles_of_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, Labelled()) as (_, ann):
        new = {"connector": "shelf", "room": "s", "shelves": ["2", "9"], "password": "a secret"}
        made = (await ann.post("/api/connections", json=new | {"skipHistoricalSync": True})).json()
        assert made["settings"] == {"room": "s", "shelves": ["2", "9"]}
        assert made["settingsTitles"] == {"room": "South", "shelves": ["Lower", "9"]}
        assert (made["room"], made["shelves"]) == ("s", ["2", "9"])
        (listed,) = (await ann.get("/api/connections")).json()["connections"]
        assert listed == {name: value for name, value in made.items() if name != "sync"}


async def test_a_connection_shows_when_its_authorisation_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = Labelled()
    async with serving(tmp_path, monkeypatch, connector) as (service, ann):
        new = {"connector": "shelf", "password": "x", "skipHistoricalSync": True}
        path = f"/api/connections/{(await ann.post('/api/connections', json=new)).json()['id']}"

        async def until() -> str | None:
            shown: str | None = (await ann.get(path)).json()["authorisedUntil"]
            return shown

        assert await until() == "2031-05-06T07:08:00.000Z"
        connector.until = datetime(2032, 5, 6, 7, 8, tzinfo=UTC)
        await service.parts.connections.mark_lost(path.rpartition("/")[2], UNDECRYPTABLE)
        await service.user().whole_sync()  # checks the account again
        assert await until() == "2032-05-06T07:08:00.000Z"
        connector.until = None
        await ann.post(f"{path}/reconnect", json={"password": "y"})
        assert await until() is None


async def test_a_connection_is_shown_although_its_connector_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, Labelled()) as (service, ann):
        new = {"connector": "shelf", "password": "x", "skipHistoricalSync": True}
        made = (await ann.post("/api/connections", json=new)).json()
        monkeypatch.setattr(service.parts.sources, "_settings", {})
        (listed,) = (await ann.get("/api/connections")).json()["connections"]
        assert (listed["settings"], listed["settingsTitles"]) == (made["settings"], {})


async def test_a_reconnect_requires_all_secret_settings_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, Shelf()) as (service, ann):
        made = (await ann.post("/api/connections", json=NEW)).json()
        path = f"/api/connections/{made['id']}/reconnect"
        secrets = {"login": "ann", "password": "newer"}
        for body, field in (
            ({"login": "ann"}, "password"),
            ({**secrets, "shelf": 4}, "shelf"),
            ({**secrets, "login": 1}, "login"),
        ):
            error = problem(await ann.post(path, json=body), 422, "invalid")
            assert [fault["field"] for fault in error["errors"]] == [field]
        answer = await ann.post(path, json={**secrets, "password": "revoked"})
        error = problem(answer, 422, "connection_refused")
        assert [fault["field"] for fault in error["errors"]] == ["login", "password"]
        answer = await ann.post(path, json={**secrets, "login": "bob"})
        problem(answer, 409, "other_account")
        assert (await ann.post(path, json=secrets)).json()["shelf"] == 3
        opened = await service.parts.connections.open(made["id"])
        assert (opened.settings.password, opened.settings.shelf) == ("newer", 3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shelf": "3"}, "shelf"),
        ({"shelf": 0}, "shelf"),
        ({"shelf": 10}, "shelf"),
        ({"region": "NA"}, "region"),
        ({"password": None}, "password"),
    ],
)
async def test_settings_are_validated_as_their_connector_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Json, field: str
) -> None:
    async with serving(tmp_path, monkeypatch, Shelf()) as (_, ann):
        answer = await ann.post("/api/connections", json=NEW | changes)
        error = problem(answer, 422, "invalid")
        assert [fault["field"] for fault in error["errors"]] == [field]


async def test_a_consent_starts_with_the_public_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, Consenting()) as (_, ann):
        path = "/api/connections/shelf/authorize"
        answer = await ann.get(path, params={"shelf": "3", "fragile": "true"})
        assert answer.headers["location"].startswith("https://shelf/3?state=")
        for query, field in (
            ({}, "shelf"),
            ({"shelf": "x"}, "shelf"),
            ({"shelf": "3", "fragile": "?"}, "fragile"),
            ({"shelf": "3", "password": "x"}, "password"),
        ):
            error = problem(await ann.get(path, params=query), 422, "invalid")
            assert [fault["field"] for fault in error["errors"]] == [field]


async def test_a_setting_with_a_reserved_name_is_a_startup_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(ConnectionSettings, frozen=True):
        status: str

    class Wrong(Shelf):
        settings = Named

    with pytest.raises(StartupError, match="shelf cannot have a setting status"):
        async with serving(tmp_path, monkeypatch, Wrong()):
            pass


def test_the_repr_of_settings_contains_no_credentials() -> None:
    settings = ShelfSettings(shelf=1, login="ann", password="a secret")
    assert "secret" not in repr(settings) + repr(Connection("c", "shelf", settings))
