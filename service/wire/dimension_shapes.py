"""Response shapes of the dimensions that users enter."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from service.wire.fields import Count, Out, one_of
from service.wire.shapes import WrongLine

#: A decimal number as text, with its unit in a field beside it.
Number = Annotated[str, Meta(extra_json_schema={"pattern": r"^\d+(\.\d+)?$"})]


class ProductDimensions(Out, frozen=True):
    """The size and the weight of a packed unit of a product, as they were entered."""

    sku: str
    length: Number
    width: Number
    height: Number
    #: The unit of length, width and height.
    length_unit: Annotated[str, one_of("cm", "in")]
    weight: Number
    weight_unit: Annotated[str, one_of("g", "kg", "lb", "oz")]


class DimensionsPage(Out, frozen=True):
    """A page of the user's dimensions, in the order of their SKUs."""

    dimensions: Sequence[ProductDimensions]
    next_cursor: str | None


class DimensionsTaken(Out, frozen=True):
    """The result of an upload of dimensions."""

    accepted: Count
    rejected: Count
    #: The first thousand rejected lines.
    errors: Sequence[WrongLine]
