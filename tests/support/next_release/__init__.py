"""A release after this one, which lacks nothing but a migration that takes its time.

It is there once the file that the variable MARKER names is.
"""

MARKER = "ADMIT_NEXT_RELEASE"
SECONDS = "ADMIT_NEXT_RELEASE_SECONDS"
