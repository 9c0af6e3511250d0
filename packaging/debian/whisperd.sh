#!/bin/sh
# -I: nothing of the caller's directory or environment reaches the program's imports.
exec /usr/lib/whisperd/venv/bin/python -I -m whisperd "$@"
