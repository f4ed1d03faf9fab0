"""Which calls take names here: `at`, or `plain` on a system without directory descriptors."""

import sys

if sys.platform == "win32":
    from securecp.disk import plain as at
else:
    from securecp.disk import at

__all__ = ["at"]
