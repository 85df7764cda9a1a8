"""Tests of the local Selling Partner API."""
