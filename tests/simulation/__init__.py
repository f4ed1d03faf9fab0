"""Tests that run real ends over the simulated network, and tests of the simulator itself."""
