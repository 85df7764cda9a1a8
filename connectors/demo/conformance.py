"""The test case of the demo connector: its source is in memory, and DEMO_BAD spoils a record."""

from contextlib import AbstractAsyncContextManager, nullcontext

from connectors.base import Connection
from connectors.conformance import ConnectorCase, Environ, Stand
from connectors.demo.connector import REVOKED, DemoConnectionSettings

ENVIRON = {"DEMO_ORDERS": "250", "DEMO_PAGE": "40", "DEMO_PAUSE": "2"}


def connection(refresh_token: str, *marketplaces: str) -> Connection:
    settings = DemoConnectionSettings(refresh_token=refresh_token, marketplace_ids=marketplaces)
    return Connection("conn_1", "demo", settings)


def source(stand: Stand, spoilt: bool) -> AbstractAsyncContextManager[Environ]:
    return nullcontext(ENVIRON | {"DEMO_BAD": "250"} if spoilt else ENVIRON)


CASE = ConnectorCase(
    connection=connection("good", "US"),
    revoked=connection(REVOKED, "US"),
    wrong=[("refreshToken", connection("", "US"))],
    undecided=connection("good"),
    source=source,
    down=ENVIRON,
)
