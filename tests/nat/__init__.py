"""Tests of `securecp.nat`."""
