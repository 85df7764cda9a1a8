"""The addresses of a sync, by the names that requests and errors give them."""

from collections.abc import Mapping


def sync_links(sync_id: str) -> Mapping[str, str]:
    return {
        "syncId": sync_id,
        "statusUrl": f"/api/sync/status/{sync_id}",
        "streamUrl": f"/api/sse/sync-progress/{sync_id}",
    }
