"""Sellers out of a seed: what they sell, have sold, have in stock and were paid."""
