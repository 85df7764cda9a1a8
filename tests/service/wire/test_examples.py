"""The examples in the document: each call has one, and each fits its schema."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from service.wire.examples import Examples
from tests.contract import DOCUMENT, Json, _validator_of
from tests.serving import Serving, read

pytestmark = pytest.mark.anyio

TEXTS = ("text/csv", "application/x-ndjson", "text/plain", "application/openmetrics-text")


def bodies(document: Json) -> Iterator[tuple[str, Json]]:
    """Each body of a request or response with a shape, and what it belongs to."""
    for section in ("paths", "webhooks"):
        for path, operations in document[section].items():
            for method, operation in operations.items():
                contents = [operation.get("requestBody", {}), *operation["responses"].values()]
                for content in contents:
                    for kind, media in content.get("content", {}).items():
                        if kind not in TEXTS:
                            yield f"{method} {path} {kind}", media
    for name, response in document["components"]["responses"].items():
        for media in response["content"].values():
            yield name, media


def examples(media: Json) -> list[Any]:
    named = [example["value"] for example in media.get("examples", {}).values()]
    return [media["example"]] if "example" in media else named


def test_every_body_has_an_example_that_fits_its_schema() -> None:
    checked = 0
    for name, media in bodies(DOCUMENT):
        assert examples(media) or name.startswith("post /api/connections "), name
        for example in examples(media):
            validator = _validator_of(msgspec.json.encode(media["schema"]))
            wrong = [f"{e.instance_path}: {e.message}" for e in validator.iter_errors(example)]
            assert not wrong, f"{name}: {wrong}"
            checked += 1
    assert checked > 80


async def test_a_connection_has_an_example_for_each_connector(service: Serving) -> None:
    async with service.anonymous() as client:
        document = read(await client.get("/openapi.json"))
    media = document["paths"]["/api/connections"]["post"]["requestBody"]["content"]
    shown = media["application/json"]["examples"]
    listed = read(await service.user().get("/api/connectors"))["connectors"]
    assert list(shown) == [connector["name"] for connector in listed]
    assert all(example["value"]["connector"] == name for name, example in shown.items())


async def test_the_examples_are_accepted(service: Serving) -> None:
    """Those of requests that need nothing that exists."""
    async with service.anonymous() as client:
        paths = read(await client.get("/openapi.json"))["paths"]
    ann = service.user()
    connecting = paths["/api/connections"]["post"]["requestBody"]["content"]["application/json"]
    connected = await ann.post("/api/connections", connecting["examples"]["demo"]["value"])
    assert connected.status_code == 201, connected.text
    for path in ("/api/costs", "/api/dimensions"):
        body = paths[path]["put"]["requestBody"]["content"]["application/json"]["example"]
        taken = await ann.http.put(path, json=body)
        assert taken.status_code == 200 and taken.json()["accepted"] == 1, taken.text


def test_a_value_of_another_type_is_not_taken_for_a_field_of_that_name() -> None:
    built = Examples({"schemas": {}}, "any")
    shape = {"properties": {"cost": {"type": "integer", "minimum": 3}}, "required": ["cost"]}
    assert built.of({"type": "object", **shape}) == {"cost": 3}
