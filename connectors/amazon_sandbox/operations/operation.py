"""What an operation is."""

from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import Paging
from connectors.amazon_sandbox.roles import Role


class ApiOperation(msgspec.Struct, frozen=True):
    """One operation, with its published rate (calls per second) and burst."""

    name: str
    method: str
    path: str
    rate: float
    burst: float
    #: Returns the JSON body of the response.
    handle: Callable[[Call], object]
    paging: Paging | None = None
    #: Whether it is slow and runs in a thread.
    heavy: bool = False
    #: Whether it accepts a token that belongs to no seller.
    grantless: bool = False
    #: The role that the application must have. For reports, the report type decides.
    role: Role | None = None
