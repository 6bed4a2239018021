"""The sub-commands of ``cairn``, a file each."""
