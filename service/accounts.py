"""Whether the pages of a sync are of the account that was connected, while that is in doubt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio

from connectors.base import Connection, Page, Retryable
from service.connections import Connections


class Recognition:
    """Compares the account that pages name with the connection's.

    After a reconnect whose account the source did not tell (`known` is false), no dataset lands
    before one of the `telling` ones has named the account, or has shown that it does not."""

    def __init__(
        self, connections: Connections, connection: Connection, telling: Sequence[str], known: bool
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._account = connection.account_id
        self._telling = set(telling)
        self._settled = anyio.Event()
        self._failure = ""
        if known or not telling:
            self._settled.set()

    async def before(self, dataset: str, page: Page) -> None:
        """To be called before a page lands. Raises OtherAccount, AlreadyConnected or Retryable."""
        if page.account and page.account != self._account:
            await self._connections.confirm_account(self._connection, page.account)
            self._account = page.account
            self._settled.set()
        if dataset not in self._telling:
            await self._settled.wait()
            if self._failure:
                raise Retryable(self._failure)
        elif page.records:
            self._settled.set()  # it names no account, so no later page will

    @contextmanager
    def reading(self, dataset: str) -> Iterator[None]:
        """While a dataset is read: the others do not wait for one that has ended."""
        try:
            yield
        except Retryable:
            if not self._settled.is_set():
                self._failure = "The source cannot tell yet whose account this is."
            raise
        finally:
            self._telling.discard(dataset)
            if not self._telling:
                self._settled.set()
