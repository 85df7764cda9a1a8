"""The events of a seller's goods in Amazon's warehouses, and the claims that follow."""
