"""Reads datasets that Amazon delivers as reports: requests, awaits, downloads and parses them."""
