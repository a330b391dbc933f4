"""The command line: a file for each command, joined by ``micrograd_fast.__main__``.

A command's file describes its arguments (``add``) and says what to call with them. It is imported
alone when its command is asked for, and imports what does the work only when that begins: `run`
must not wait for what the others need.
"""
