"""The settings of the demo connector, from the environment."""

import pytest

from connectors.base import Misconfigured, SystemClock
from connectors.demo import open_connector

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("name", "value"), [("DEMO_ORDERS", "many"), ("DEMO_PAUSE", "short")])
async def test_an_invalid_setting_is_named(name: str, value: str) -> None:
    environ = {"DEMO_PAGE": "10", name: value}
    with pytest.raises(Misconfigured, match=f"{name} is not valid") as refusal:
        async with open_connector(environ, SystemClock()):
            pass
    assert "DEMO_PAGE" not in str(refusal.value)
