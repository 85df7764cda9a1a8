"""The id and the addresses of a sync, as responses and errors contain them."""

from collections.abc import Mapping


def sync_links(sync_id: str) -> Mapping[str, str]:
    return {
        "syncId": sync_id,
        "statusUrl": f"/api/sync/status/{sync_id}",
        "streamUrl": f"/api/sse/sync-progress/{sync_id}",
    }
