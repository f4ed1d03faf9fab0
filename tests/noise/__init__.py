"""Tests of `securecp.noise`."""
