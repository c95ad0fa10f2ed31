"""The release after this one, which differs only in a slow migration.

It counts as installed once the file named by the variable MARKER exists.
"""

MARKER = "ADMIT_NEXT_RELEASE"
SECONDS = "ADMIT_NEXT_RELEASE_SECONDS"
