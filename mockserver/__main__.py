"""`python -m mockserver` is `understudy`."""

from mockserver.cli import main

main(prog_name="understudy")
