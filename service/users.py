"""Users: their ids, the actor of a request, and the entries of the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec


def user_id(tenant: str, sub: str) -> str:
    """The key of a user in every table, map and limit, built from their tenant and `sub`.

    Two pairs never share an id: quoting removes every "/" from the tenant, so the first "/" always
    separates the two. Clients see only the `sub`, never the id."""
    return f"{quote(tenant, safe='')}/{sub}"


def sub_of(user: str) -> str:
    """The `sub` in a user's id."""
    return user.partition("/")[2]


class Actor(msgspec.Struct, frozen=True):
    """The user who makes a request, and where the request comes from."""

    #: The user's name within their tenant, which people see.
    sub: str
    tenant: str
    plan: str = ""
    address: str = ""
    user_agent: str = ""
    #: `operator`, or empty.
    role: str = ""

    @property
    def user(self) -> str:
        """The user's id, under which all of their data is stored."""
        return user_id(self.tenant, self.sub)


class AuditEntry(msgspec.Struct, frozen=True):
    """One action on a sync or a connection of a user."""

    at: datetime
    action: str
    #: The id of the user who owns the sync or the connection.
    user: str
    tenant: str
    #: The user's `sub`, or what acts on their behalf: `service` or `schedule`.
    actor: str
    sync_id: str = ""
    connection_id: str = ""
    address: str = ""
    user_agent: str = ""
    details: Mapping[str, Any] = {}
