"""Keys, key files and contacts."""
