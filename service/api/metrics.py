"""`GET /metrics`: for Prometheus."""

from collections.abc import Sequence
from hmac import compare_digest

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from service.api.figures import backlog_figures, live_figures
from service.api.parts import parts
from service.edge.authenticator import CHALLENGE, bearer
from service.errors import Forbidden, Unauthenticated
from service.settings import is_loopback
from service.store.engine import Unavailable

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
"""Headers that proxies add: a request through a proxy on this machine comes from elsewhere."""
LOCAL_ONLY = (
    "Without METRICS_TOKEN, metrics are for programs on the same machine, at a loopback address. "
    "Set METRICS_TOKEN, and send it as `Authorization: Bearer <token>`."
)
WRONG_TOKEN = "Send METRICS_TOKEN as `Authorization: Bearer <token>`."  # noqa: S105


async def metrics(request: Request) -> Response:
    """Get the metrics of this process, in the format of OpenMetrics if the client accepts it, else
    of Prometheus. From another machine or through a proxy, METRICS_TOKEN is required."""
    _check(request)
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    try:
        backlog = await parts(request).operations.backlog()
    except Unavailable:
        backlog = None  # the rest is needed most during an outage
    of = parts(request)
    scrape = _Scrape([*of.metrics.collect(), *live_figures(of), *backlog_figures(backlog)])
    return Response(encode(scrape), headers={"Content-Type": kind})


class _Scrape(Collector):
    """All metrics at one moment."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _check(request: Request) -> None:
    """Raises Unauthenticated or Forbidden."""
    expected = parts(request).metrics_token
    if expected and "authorization" in request.headers:
        sent = bearer(request) or ""
        if compare_digest(sent.encode(), expected.encode()):
            return
    elif _is_local(request):
        return
    if expected:
        raise Unauthenticated(WRONG_TOKEN, headers=CHALLENGE)
    raise Forbidden(LOCAL_ONLY)


def _is_local(request: Request) -> bool:
    """Whether a program on this machine sent the request, without a proxy. A proxy passes the host
    on, and so does a browser with a page whose name resolves to this machine."""
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and is_loopback(request.url.hostname or "")
        and not any(name in request.headers for name in FORWARDED)
    )
