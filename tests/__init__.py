"""Tests: one file per behaviour, named with the ids of the attacks they prove."""
