"""Generated sellers: their products, orders, stock, payments and goods, drawn from a seed."""
