"""What happens to a seller's goods in Amazon's warehouses, and what of it Amazon owes."""
