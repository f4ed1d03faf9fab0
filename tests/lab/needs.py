"""Tests that need the laboratory, and say so where there can be none."""

import pytest

from tests.lab.namespaces import requirements


def needs_lab(*tools: str) -> pytest.MarkDecorator:
    """Mark a test or a module: `pytestmark = needs_lab("nginx")`."""
    lacking = requirements("conntrack", *tools)
    return pytest.mark.skipif(bool(lacking), reason=f"no NAT laboratory: {lacking}")
