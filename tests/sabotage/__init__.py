"""Security decisions, each taken out once: do the tests notice (`make sabotage`)?

edit.py        what an edit is, and all of them
keys.py …      the edits, a file for each part of the program
__main__.py    applies them one by one to a copy and runs the tests they name
test_edits.py  what `make test` checks: every edit still applies, every test it names is there
"""
