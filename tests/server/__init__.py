"""Tests of `securecp.server`."""
