"""A seeded network in virtual time: both ends run in one process; every failure has a seed."""
