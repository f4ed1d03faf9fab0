"""One receiver, thousands of transfers and faults: nothing grows (MB-09, F-49)."""
