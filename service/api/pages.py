"""The public paths: health checks, and the files of the dashboard and of /docs."""

from pathlib import Path
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from service.api.parts import parts
from service.edge.authenticator import COOKIE
from service.errors import NotReady
from service.store.engine import Unavailable
from service.wire import responses, shapes

WEB = Path(__file__).parent.parent / "web"
# The files have ETags. After an upgrade, no browser mixes old modules with new ones.
REVALIDATE = {"Cache-Control": "no-cache"}


async def healthz(_: Request) -> Response:
    """Check that the process is running."""
    return responses.JSON(shapes.Health(status="ok"))


async def readyz(request: Request) -> Response:
    """Check that the database responds and its files have not been replaced. Its schema was
    migrated before the service began to listen."""
    try:
        await parts(request).store.ping()
    except Unavailable as error:
        raise NotReady(f"The database does not respond: {error}") from error
    except Exception as error:
        raise NotReady("The database does not respond.") from error
    return responses.JSON(shapes.Health(status="ready"))


async def dashboard(request: Request) -> Response:
    """The dashboard at /. Without credentials, the page is told to ask for a sign-in at once,
    instead of making calls that are refused. A proxy may add the token to every request."""
    page = await anyio.Path(WEB / "index.html").read_text(encoding="utf-8")
    anonymous = COOKIE not in request.cookies and "authorization" not in request.headers
    if anonymous and not parts(request).auth.demo:
        page = page.replace("<html ", "<html data-signed-out ", 1)
    return HTMLResponse(page, headers=REVALIDATE)


async def docs(_: Request) -> Response:
    """The page at /docs, which renders the OpenAPI document."""
    return FileResponse(WEB / "docs.html", headers=REVALIDATE)


class Files(StaticFiles):
    """The scripts and styles of the pages."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(REVALIDATE)
        return response
