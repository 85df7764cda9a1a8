"""Cases of Reports 2021-06-30 and Fulfillment Inbound v0."""

from connectors.amazon_sandbox.examples.case import (
    BAD_REPORT,
    BAD_SHIPMENT,
    GERMANY,
    US,
    StaticCase,
)

# Amazon's getReport returns another id than createReport.
_REPORT = {
    "reportId": "ReportId1",
    "reportType": "FEE_DISCOUNTS_REPORT",
    "dataStartTime": "2024-03-11T13:47:20.677Z",
    "dataEndTime": "2024-03-12T13:47:20.677Z",
    "createdTime": "2024-03-10T13:47:20.677Z",
    "processingStatus": "IN_PROGRESS",
    "processingStartTime": "2024-03-10T13:47:20.677Z",
    "processingEndTime": "2024-03-12T13:47:20.677Z",
}

_DOCUMENT_ID = "0356cf79-b8b0-4226-b4b9-0ee058ea5760"

_REQUEST = {
    "dataStartTime": "2024-03-10T20:11:24.000Z",
    "marketplaceIds": [GERMANY, US],
}

_TYPES = {"reportTypes": "FEE_DISCOUNTS_REPORT,GET_AFN_INVENTORY_DATA"}

_SHIPMENT = {
    "ShipmentId": "FBA15DJ9S3J5",
    "ShipmentName": "FBA (2/11/20, 11:18 AM) - 1",
    "ShipFromAddress": {
        "Name": "A seller",
        "AddressLine1": "1 Example Street",
        "City": "Seattle",
        "StateOrProvinceCode": "WA",
        "CountryCode": "US",
        "PostalCode": "98101",
    },
    "DestinationFulfillmentCenterId": "MKC6",
    "ShipmentStatus": "SHIPPED",
    "LabelPrepType": "SELLER_LABEL",
    "AreCasesRequired": False,
    "BoxContentsSource": "INTERACTIVE",
}

# Belongs to another shipment than the requested one.
_SHIPMENT_ITEM = {
    "ShipmentId": "FBA15DF2763D",
    "SellerSKU": "CR-47K6-H6QN",
    "FulfillmentNetworkSKU": "X0014BIZ8T",
    "QuantityShipped": 4,
    "QuantityReceived": 0,
    "QuantityInCase": 0,
}

_ITEMS_NEXT = (
    "AAAAAAAAAABtqoY6CcWi1L8mJB7Nnt2gaQEAAAAAAAD6ehPTas9PliWJK6QPwRpOgJJTgQphGOQ9o1k7PBrBe5GrNyGD"
    "QYBmz2D4yDT4FVSHVhpbKi8Mgrw3tfRTLrkcMQOn5CvEySS5ePVzv8WhjCDxM9FGwBzoeDWLKx9OEy29XlAFkeBdwaxO"
    "AxEMF97uQkxGhUQS5sGeXdSAXNXMgCoOXMgwJlsgzIq3BytyObIt8z9T0GPk440bqiQZl3ceVEiLX2g2LAa5qNwJBtCg"
    "YtizJsYSutX9zbR0Fe13bSqTOUEAXykYvQSTYCbuEPC3UFukVLobuP0lWWZzZxcbWRxEzBTHnlgorzdsCc4cBnWVhTdp"
    "5nxTPeiYGbda9KilRFXtVl1vgXCHq5npDNV9yULsgjAqFPDBaz8YMlKoJgCe2E1GmbHzenJW21IHcIo3gtmujxib3Y9j"
    "23SwCfEbsUR9OrFNvGxiZ0VS7qYzmfvElsU9jBx1PFrOigHnGD71Yq"
)

REPORT_CASES = (
    StaticCase(
        "createReport",
        {},
        {"reportId": "ID323"},
        body={"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", **_REQUEST},
        status=202,
    ),
    StaticCase(
        "createReport",
        {},
        body={"reportType": "BAD_FEE_DISCOUNTS_REPORT", **_REQUEST},
        error=BAD_REPORT,
    ),
    StaticCase(
        "getReports",
        {**_TYPES, "processingStatuses": "IN_QUEUE,IN_PROGRESS"},
        {"reports": [_REPORT], "nextToken": "VGhpcyB0b2tlbiBpcyBvcGFx"},
    ),
    StaticCase(
        "getReports",
        {**_TYPES, "processingStatuses": "BAD_VALUE,IN_PROGRESS"},
        error=BAD_REPORT,
    ),
    StaticCase("getReport", {"reportId": "ID323"}, _REPORT),
    StaticCase("getReport", {"reportId": "badReportId1"}, error=BAD_REPORT),
    StaticCase("cancelReport", {"reportId": "ID"}, {}),
    StaticCase("cancelReport", error=BAD_REPORT),  # for any other id
    StaticCase(
        "getReportDocument",
        {"reportDocumentId": _DOCUMENT_ID},
        {"reportDocumentId": _DOCUMENT_ID, "url": "https://documents.example/Report.txt"},
    ),
    StaticCase(
        "getReportDocument",
        {"reportDocumentId": "badDocumentId1"},
        error=BAD_REPORT,
    ),
)

INBOUND_CASES = (
    StaticCase(
        "getShipments",
        {"QueryType": "SHIPMENT", "MarketplaceId": US},
        {"payload": {"ShipmentData": [_SHIPMENT], "NextToken": "AAAAAAAAAADwtRhfSFJX="}},
    ),
    StaticCase(
        "getShipmentItemsByShipmentId",
        {"shipmentId": "FBA15DJ9SVVD", "MarketplaceId": US},
        {"payload": {"ItemData": [_SHIPMENT_ITEM], "NextToken": "AAAAAAAAAABtqoY6CcWi="}},
    ),
    *(
        StaticCase(operation, {"MarketplaceId": f"BAD{US}", **parameters}, error=BAD_SHIPMENT)
        for operation, parameters in (
            ("getShipments", {"QueryType": "BADSHIPMENT"}),
            ("getShipmentItemsByShipmentId", {"shipmentId": "BADFBA15DJ9SVVD"}),
            ("getShipmentItems", {"QueryType": "BADSHIPMENT", "NextToken": "BADNextToken"}),
        )
    ),
    # The cases use a query type that the model lacks, and a token on the first call.
    StaticCase(
        "getShipmentItems",
        {"QueryType": "SHIPMENT", "MarketplaceId": US, "NextToken": "NextToken"},
        {"payload": {"ItemData": [_SHIPMENT_ITEM], "NextToken": _ITEMS_NEXT}},
    ),
    StaticCase(
        "getShipmentItems",
        {"QueryType": "SHIPMENT", "MarketplaceId": US, "NextToken": _ITEMS_NEXT},
        {"payload": {"ItemData": [_SHIPMENT_ITEM]}},
    ),
)
