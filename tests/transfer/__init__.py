"""The transfer core: manifest, messages, both parties, receipt."""
