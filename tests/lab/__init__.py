"""A NAT laboratory in network namespaces."""
