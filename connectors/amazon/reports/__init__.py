"""Datasets that Amazon delivers as reports: ordered, waited for, downloaded and parsed."""
