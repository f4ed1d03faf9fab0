"""The face: the only place with click, printing and wording."""
