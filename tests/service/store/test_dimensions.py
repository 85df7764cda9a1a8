"""The dimensions of a user's products in the database."""

import pytest

from connectors.claims import Dimensions
from service.store.dimensions import DimensionStore
from service.store.engine import Engine

pytestmark = pytest.mark.anyio

SMALL = Dimensions("6", "4", "1", "in", "0.5", "lb")
LARGE = Dimensions("15.24", "10.16", "2.54", "cm", "227", "g")


async def test_dimensions_are_stored_and_replaced_by_user(engine: Engine) -> None:
    store = DimensionStore(engine)
    assert await store.store("ann", {})
    assert await store.store("ann", {"b": SMALL, "a": SMALL})
    assert await store.store("ann", {"a": LARGE})
    assert await store.all("ann") == {"a": LARGE, "b": SMALL}
    assert await store.page("ann", 1) == [("a", LARGE)]
    assert await store.page("ann", 5, "a") == [("b", SMALL)]
    assert await store.all("bob") == {}
