"""The errors that users of the history catch; they stand in the ground floor, for both packages."""

from foundation.errors import *  # noqa: F403 - the same names under the one that users know
