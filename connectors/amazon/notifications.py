"""Amazon's notifications, as EventBridge and SQS deliver them (schemas OrderChangeNotification and
ReportProcessingFinishedNotification of Amazon's models repository)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from connectors.amazon.answers import plain
from connectors.amazon.orders.search import ORDERS
from connectors.base import InvalidNotification, Notice

ORDER_CHANGE = "ORDER_CHANGE"
REPORT_FINISHED = "REPORT_PROCESSING_FINISHED"
MOST = 100
"""The most notifications in one body; an SQS batch has at most 10."""
MAJOR = "1."
"""The versions of ORDER_CHANGE that are understood."""

_Id = Annotated[str, Meta(min_length=1, max_length=200, pattern="^[!-~]*$")]


class _OrderChange(msgspec.Struct, rename="pascal"):
    notification_level: str
    seller_id: _Id
    amazon_order_id: _Id
    order_change_type: str
    order_change_trigger: dict[str, Any]
    summary: dict[str, Any]


class _OrderPayload(msgspec.Struct, rename="pascal"):
    order_change_notification: _OrderChange


class _OrderMetadata(msgspec.Struct, rename="pascal"):
    application_id: str
    subscription_id: str
    publish_time: str
    notification_id: _Id


class _OrderNotification(msgspec.Struct, rename="pascal"):
    notification_version: str
    payload_version: str
    event_time: str
    payload: _OrderPayload
    notification_metadata: _OrderMetadata


class _Report(msgspec.Struct, rename="camel"):
    account_id: str
    report_id: _Id
    report_type: str
    processing_status: str
    seller_id: str | None = None


class _ReportPayload(msgspec.Struct, rename="camel"):
    report_processing_finished_notification: _Report


class _ReportMetadata(msgspec.Struct, rename="camel"):
    application_id: str
    subscription_id: str
    publish_time: str
    notification_id: _Id


class _ReportNotification(msgspec.Struct, rename="camel"):
    notification_version: str
    payload_version: str
    event_time: str
    payload: _ReportPayload
    notification_metadata: _ReportMetadata


def notices_in(body: bytes) -> Sequence[Notice]:
    """The notices in a body. A body is a notification; an event of EventBridge, whose `detail` is
    one; a message of SQS, whose `body` is one as text; or a batch of messages.

    Raises InvalidNotification."""
    notices = [_notice(found) for found in _unpacked(_decoded(body))]
    if not 0 < len(notices) <= MOST:
        raise InvalidNotification(f"Send from 1 to {MOST} notifications at once.")
    return notices


def _decoded(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidNotification(f"Not valid JSON: {error}.") from error


def _unpacked(found: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The notifications in their envelopes."""
    if not isinstance(found, dict) or depth > 2:
        _refuse("Must be a notification of Amazon, an event of EventBridge or messages of SQS.")
    for batch in ("Records", "Messages"):
        if isinstance(found.get(batch), list):
            for message in found[batch]:
                yield from _unpacked(message, depth + 1)
            return
    if "detail" in found and "detail-type" in found:
        yield from _unpacked(found["detail"], depth + 1)
        return
    text = found.get("body", found.get("Body"))
    if isinstance(text, str):
        yield from _unpacked(_decoded(text), depth + 1)
        return
    yield found


def _notice(found: dict[str, Any]) -> Notice:
    kind = found.get("NotificationType", found.get("notificationType"))
    try:
        if kind == ORDER_CHANGE:
            return _order(msgspec.convert(found, _OrderNotification))
        if kind == REPORT_FINISHED:
            return _report(msgspec.convert(found, _ReportNotification))
    except msgspec.ValidationError as error:
        _refuse(f"{kind} does not have Amazon's schema: {error}.")
    text = plain(f"{kind}", 60) if kind is not None else "no NotificationType"
    _refuse(f"Only {ORDER_CHANGE} and {REPORT_FINISHED} are received, not {text}.")


def _order(found: _OrderNotification) -> Notice:
    if not found.payload_version.startswith(MAJOR):
        _refuse(f"{ORDER_CHANGE} of PayloadVersion {plain(found.payload_version, 20)}: not 1.x.")
    change = found.payload.order_change_notification
    return Notice(
        found.notification_metadata.notification_id,
        change.seller_id,
        dataset=ORDERS.name,
        record=change.amazon_order_id,
    )


def _report(found: _ReportNotification) -> Notice:
    report = found.payload.report_processing_finished_notification
    about = report.seller_id or report.account_id
    return Notice(found.notification_metadata.notification_id, about, awaited=report.report_id)


def _refuse(text: str) -> NoReturn:
    raise InvalidNotification(text)
