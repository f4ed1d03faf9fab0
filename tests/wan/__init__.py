"""An emulated WAN between two network namespaces, for any program: see WANLINK.md."""
