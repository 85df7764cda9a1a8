"""What is not under /api: whether the service is well, and the files of its pages."""

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from service.api.parts import parts
from service.errors import NotReady
from service.store.engine import Unavailable
from service.wire import responses, shapes

WEB = Path(__file__).parent.parent / "web"
ASK_ANEW = {"Cache-Control": "no-cache"}
"""They have ETags: after an upgrade no browser mixes old modules with new ones."""


async def healthz(_: Request) -> Response:
    """The process is alive."""
    return responses.JSON(shapes.Health(status="ok"))


async def readyz(request: Request) -> Response:
    """The database answers, and its files are those that were opened. Its schema was brought up to
    date before the service listened."""
    try:
        await parts(request).store.ping()
    except Unavailable as error:
        raise NotReady(f"The database does not answer: {error}") from error
    except Exception as error:
        raise NotReady("The database does not answer.") from error
    return responses.JSON(shapes.Health(status="ready"))


async def dashboard(_: Request) -> Response:
    """The page at /."""
    return FileResponse(WEB / "index.html", headers=ASK_ANEW)


async def docs(_: Request) -> Response:
    """The page at /docs: the contract, to be read by people."""
    return FileResponse(WEB / "docs.html", headers=ASK_ANEW)


class Files(StaticFiles):
    """The files that the pages are made of."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(ASK_ANEW)
        return response
