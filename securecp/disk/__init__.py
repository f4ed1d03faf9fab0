"""Files: what is read to be sent, and what is written when received (SPEC §9)."""

from securecp.disk.safety import objection
from securecp.disk.settle import Conflict
from securecp.disk.source import TreeSource
from securecp.disk.store import Report, Store
from securecp.disk.tree import Scan, scan

__all__ = ["Conflict", "Report", "Scan", "Store", "TreeSource", "objection", "scan"]
