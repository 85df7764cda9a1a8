"""The connectors of this service: their settings, datasets and claim rules."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import parts
from service.sources import Sources
from service.wire import responses, shapes


async def list_all(request: Request) -> Response:
    """The connectors of this service, with the settings that each needs."""
    sources = parts(request).sources
    return responses.JSON(
        shapes.Connectors(connectors=[_connector(sources, name) for name in sources.names])
    )


def _connector(sources: Sources, name: str) -> shapes.Connector:
    connector = sources.get(name)
    return shapes.Connector(
        name=name,
        label=connector.label,
        consent=sources.consents(name),
        settings=sources.settings(name).schema,
        datasets=[
            shapes.ConnectorDataset(
                name=dataset.name,
                label=dataset.label,
                columns=[
                    shapes.ColumnOut(
                        name=column.name,
                        label=column.label,
                        path=column.path,
                        kind=column.kind,
                        currency=column.currency or None,
                    )
                    for column in dataset.columns
                ],
            )
            for dataset in connector.datasets
        ],
        rules=[
            shapes.ClaimRule(code=rule.code, title=rule.title, sentence=rule.sentence)
            for rule in sources.rules(name)
        ],
    )
